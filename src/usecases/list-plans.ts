import { findPlans } from '../catalog/plans.js';
import type { Page } from '../domain/schemas/common.js';
import type { ListPlansQuery, PlanResource } from '../domain/schemas/plans.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPlan } from './present/present-plan.js';

export async function listPlans(
  context: UsecaseContext,
  principal: Principal,
  query: ListPlansQuery,
): Promise<Page<PlanResource>> {
  const { rows, nextCursor } = await findPlans(context.catalog.prisma, principal, query);
  return { items: rows.map(presentPlan), nextCursor };
}
