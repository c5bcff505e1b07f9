import { planScheduleId } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { dropSchedule } from './put-schedule.js';

/** Removes the Temporal Schedule of a plan; one that is not there is a success. */
export async function removeSchedule(context: UsecaseContext, planId: string): Promise<void> {
  await dropSchedule(context, planScheduleId(planId));
}

export async function removeScheduleOrLeave(context: UsecaseContext, planId: string): Promise<void> {
  try {
    await removeSchedule(context, planId);
  } catch (error) {
    context.logger.warn({ err: error, planId }, 'The removal of the schedule is left to the reconcile loop');
  }
}
