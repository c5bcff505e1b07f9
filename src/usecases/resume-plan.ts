import { recordAudit } from '../catalog/audit-events.js';
import { changePlan } from '../catalog/plans.js';
import type { PlanResource } from '../domain/schemas/plans.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePlan } from './get-plan.js';
import { presentPlan } from './present/present-plan.js';
import { upsertScheduleOrLeave } from './schedules/upsert-schedule.js';

/** Lets the schedule of a plan run again. Runs missed while it was paused are not made up. Resuming an active plan changes nothing. */
export async function resumePlan(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string },
): Promise<PlanResource> {
  const before = await requirePlan(context, principal, input.planId);
  if (before.status === 'active') return presentPlan(before);
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    const changed = await changePlan(tx, before.id, { status: 'active' });
    await recordAudit(tx, principal, 'plan.resumed', before.id);
    return changed;
  });
  await upsertScheduleOrLeave(context, row);
  return presentPlan(row);
}
