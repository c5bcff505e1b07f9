import type { ScheduleUpdateOptions } from '@temporalio/client';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import type { PlanRow } from '../../catalog/plans.js';
import type { FireInput } from '../../workflows/messages.js';
import { workflowTypes } from '../../workflows/messages.js';
import { fireWorkflowId, planScheduleId, taskQueues } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { readSchedule } from '../present/present-plan.js';
import { searchAttributesOf } from '../runs/search-attributes.js';
import { putSchedule, scheduleNote } from './put-schedule.js';
import { removeSchedule } from './remove-schedule.js';
import { catchupWindowOf, temporalCronLines } from './schedule-times.js';

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
    state: { paused: plan.status === 'paused', note: scheduleNote('plan', plan) },
  };
}

/** Makes the Temporal Schedule of a plan what the row says: created, changed, paused or, for a manual plan, removed. */
export async function upsertSchedule(context: UsecaseContext, plan: PlanRow): Promise<void> {
  const options = optionsOf(context, plan);
  if (options === null) {
    await removeSchedule(context, plan.id);
    return;
  }
  await putSchedule(context, planScheduleId(plan.id), options);
}

/** The catalog is the desired state: when Temporal does not answer the plan stands, and the reconcile loop makes the schedule. */
export async function upsertScheduleOrLeave(context: UsecaseContext, plan: PlanRow): Promise<void> {
  try {
    await upsertSchedule(context, plan);
  } catch (error) {
    context.logger.warn({ err: error, planId: plan.id }, 'The schedule is left to the reconcile loop');
  }
}
