import { recordAudit } from '../catalog/audit-events.js';
import { changePlan } from '../catalog/plans.js';
import type { PlanResource } from '../domain/schemas/plans.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePlan } from './get-plan.js';
import { presentPlan } from './present/present-plan.js';
import { upsertScheduleOrLeave } from './schedules/upsert-schedule.js';

/** Stops the schedule of a plan; a backup can still be requested by hand, and a run under way goes on. Pausing a paused plan changes nothing. */
export async function pausePlan(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string },
): Promise<PlanResource> {
  const before = await requirePlan(context, principal, input.planId);
  if (before.status === 'paused') return presentPlan(before);
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    const changed = await changePlan(tx, before.id, { status: 'paused' });
    await recordAudit(tx, principal, 'plan.paused', before.id);
    return changed;
  });
  await upsertScheduleOrLeave(context, row);
  return presentPlan(row);
}
