import type { PlanRow } from '../catalog/plans.js';
import { findPlan } from '../catalog/plans.js';
import type { PlanResource } from '../domain/schemas/plans.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPlan } from './present/present-plan.js';
import { notFound } from './shared/refusals.js';

/** The row of a plan that the principal may see; `not_found` otherwise. */
export async function requirePlan(context: UsecaseContext, principal: Principal, id: string): Promise<PlanRow> {
  const row = await findPlan(context.catalog.prisma, principal, id);
  if (row === null) throw notFound('plan', id);
  return row;
}

export async function getPlan(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string },
): Promise<PlanResource> {
  return presentPlan(await requirePlan(context, principal, input.planId));
}
