import type { PlanRow } from '../catalog/plans.js';
import { findDailyPlan } from '../catalog/plans.js';
import type { DailySchedule } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDatabase } from './get-database.js';
import { presentDailySchedule } from './shared/daily-schedule.js';
import { notFound } from './shared/refusals.js';

/** The plan that the daily schedule of a database is kept as; `not_found` when it has none. */
export async function requireDailyPlan(
  context: UsecaseContext,
  principal: Principal,
  databaseId: string,
): Promise<PlanRow> {
  await requireDatabase(context, principal, databaseId);
  const plan = await findDailyPlan(context.catalog.prisma, databaseId);
  if (plan === null) throw notFound('daily schedule of database', databaseId);
  return plan;
}

export async function getDailySchedule(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string },
): Promise<DailySchedule> {
  return presentDailySchedule(await requireDailyPlan(context, principal, input.databaseId));
}
