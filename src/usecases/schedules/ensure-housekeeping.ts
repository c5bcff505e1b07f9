import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import { workflowTypes } from '../../workflows/messages.js';
import { housekeepingScheduleId, housekeepingWorkflowId, taskQueues } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';

/** Creates the hourly housekeeping schedule when it is missing. An existing one stays as it is: an operator may have paused it. */
export async function ensureHousekeeping(context: UsecaseContext): Promise<void> {
  try {
    await context.temporal.withDeadline(Date.now() + 10_000, () =>
      context.temporal.schedule.create({
        scheduleId: housekeepingScheduleId,
        spec: { intervals: [{ every: '1 hour' }] },
        action: {
          type: 'startWorkflow',
          workflowType: workflowTypes.housekeeping,
          workflowId: housekeepingWorkflowId,
          taskQueue: taskQueues.control,
          args: [],
          staticSummary: 'Housekeeping: former contents, deleted backups, leftovers, retention',
        },
        policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: '1 hour', pauseOnFailure: false },
        state: { note: 'Made by Tidemark' },
      }),
    );
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}
