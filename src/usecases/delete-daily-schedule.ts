import type { Principal, UsecaseContext } from './context.js';
import { deletePlan } from './delete-plan.js';
import { requireDailyPlan } from './get-daily-schedule.js';

/** Ends the daily schedule of a database; its backups stay. Throws `not_found` when it has none, `still_referenced` while one runs. */
export async function deleteDailySchedule(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string },
): Promise<void> {
  const { id } = await requireDailyPlan(context, principal, input.databaseId);
  await deletePlan(context, principal, { planId: id });
}
