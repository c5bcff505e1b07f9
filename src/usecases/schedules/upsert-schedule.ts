import type { ScheduleOptions, ScheduleUpdateOptions } from '@temporalio/client';
import { ScheduleAlreadyRunning, ScheduleOverlapPolicy } from '@temporalio/client';
import type { PlanRow } from '../../catalog/plans.js';
import type { FireInput } from '../../workflows/messages.js';
import { workflowTypes } from '../../workflows/messages.js';
import { fireWorkflowId, planScheduleId, taskQueues } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { readSchedule } from '../present/present-plan.js';
import { searchAttributesOf } from '../runs/search-attributes.js';
import { removeSchedule } from './remove-schedule.js';
import { catchupWindowOf, temporalCronLines } from './schedule-times.js';

/** The note carries the revision of the plan that a schedule was made from: the one text that both `list` and `update` can carry. */
export function scheduleNote(plan: { revision: number; name: string; status: string }): string {
  return `revision ${plan.revision} of plan ${plan.name}${plan.status === 'paused' ? ', paused by a user' : ''}`;
}

/** Reads the revision back; null for a note that somebody changed by hand. */
export function revisionOfNote(note: string | undefined): number | null {
  const match = /^revision (\d+) of plan /.exec(note ?? '');
  return match ? Number(match[1]) : null;
}

function optionsOf(context: UsecaseContext, plan: PlanRow): ScheduleUpdateOptions | null {
  const schedule = readSchedule(plan.schedule);
  if (schedule.type === 'manual' || schedule.type === 'realtime') return null;
  const input: FireInput = { planId: plan.id };
  const attributes = searchAttributesOf(context, { databaseId: plan.databaseId, planId: plan.id, kind: 'fire' });
  return {
    spec:
      schedule.type === 'interval'
        ? { intervals: [{ every: schedule.everySeconds * 1000 }] }
        : { cronExpressions: temporalCronLines(schedule.expression), timezone: schedule.timezone },
    action: {
      type: 'startWorkflow',
      workflowType: workflowTypes.fire,
      workflowId: fireWorkflowId(plan.id),
      taskQueue: taskQueues.control,
      args: [input],
      // A fire only claims the database and starts the backup; one that no worker takes for so long has missed its time.
      workflowExecutionTimeout: '1 hour',
      staticSummary: `Scheduled backup of ${plan.database.name} (plan ${plan.name})`,
      ...attributes,
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: catchupWindowOf(schedule, new Date()),
      pauseOnFailure: false,
    },
    state: { paused: plan.status === 'paused', note: scheduleNote(plan) },
  };
}

/** Makes the Temporal Schedule of a plan what the row says: created, changed, paused or, for a manual plan, removed. */
export async function upsertSchedule(context: UsecaseContext, plan: PlanRow): Promise<void> {
  const options = optionsOf(context, plan);
  if (options === null) {
    await removeSchedule(context, plan.id);
    return;
  }
  const scheduleId = planScheduleId(plan.id);
  await context.temporal.withDeadline(Date.now() + 10_000, async () => {
    try {
      await context.temporal.schedule.create({ scheduleId, ...options } as ScheduleOptions);
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error;
      await context.temporal.schedule.getHandle(scheduleId).update(() => options);
    }
  });
}

/** The catalog is the desired state: when Temporal does not answer the plan stands, and the reconcile loop makes the schedule. */
export async function upsertScheduleOrLeave(context: UsecaseContext, plan: PlanRow): Promise<void> {
  try {
    await upsertSchedule(context, plan);
  } catch (error) {
    context.logger.warn({ err: error, planId: plan.id }, 'The schedule is left to the reconcile loop');
  }
}
