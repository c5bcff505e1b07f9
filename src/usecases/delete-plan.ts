import { recordAudit } from '../catalog/audit-events.js';
import { findActiveRunsOfPlan, findPlan, lockPlan, markPlanDeleted } from '../catalog/plans.js';
import type { Principal, UsecaseContext } from './context.js';
import { removeScheduleOrLeave } from './schedules/remove-schedule.js';
import { notFound, stillReferenced } from './shared/refusals.js';

/** Ends a plan and its schedule. Its backups stay, with their key, until they are deleted one by one. Throws `still_referenced` while one runs. */
export async function deletePlan(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string },
): Promise<void> {
  await context.catalog.prisma.$transaction(async (tx) => {
    await lockPlan(tx, input.planId);
    const row = await findPlan(tx, principal, input.planId);
    if (row === null) throw notFound('plan', input.planId);
    const runs = await findActiveRunsOfPlan(tx, row.id);
    if (runs.length > 0) throw stillReferenced('plan', row.id, runs);
    await markPlanDeleted(tx, row.id);
    await recordAudit(tx, principal, 'plan.deleted', row.id, { name: row.name });
  });
  await removeScheduleOrLeave(context, input.planId);
}
