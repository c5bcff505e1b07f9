import { ScheduleNotFoundError } from '@temporalio/client';
import { planScheduleId } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';

/** Removes the Temporal Schedule of a plan; one that is not there is a success. */
export async function removeSchedule(context: UsecaseContext, planId: string): Promise<void> {
  try {
    await context.temporal.withDeadline(Date.now() + 10_000, () =>
      context.temporal.schedule.getHandle(planScheduleId(planId)).delete(),
    );
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}

export async function removeScheduleOrLeave(context: UsecaseContext, planId: string): Promise<void> {
  try {
    await removeSchedule(context, planId);
  } catch (error) {
    context.logger.warn({ err: error, planId }, 'The removal of the schedule is left to the reconcile loop');
  }
}
