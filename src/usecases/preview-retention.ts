import { findCompletedOfPlan } from '../catalog/backups.js';
import { selectExpired } from '../catalog/runs/retention.js';
import type { RetentionPreview } from '../domain/schemas/plans.js';
import { retentionSchema } from '../domain/schemas/plans.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePlan } from './get-plan.js';

/** What the retention of a plan would remove now, by the rule that removes it. */
export async function previewRetention(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string },
): Promise<RetentionPreview> {
  const plan = await requirePlan(context, principal, input.planId);
  const rows = await findCompletedOfPlan(context.catalog.prisma, plan.id);
  const rule = retentionSchema.nullable().parse(plan.retention) ?? {};
  const candidates = rows.map((row) => ({ id: row.id, takenAt: row.takenAt ?? row.createdAt }));
  const removes = selectExpired(candidates, rule, new Date());
  const gone = new Set(removes);
  return { keeps: rows.map((row) => row.id).filter((id) => !gone.has(id)), removes };
}
