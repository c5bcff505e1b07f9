import { recordAudit } from '../catalog/audit-events.js';
import { findWrappingKey, markKeyExported } from '../catalog/wrapping-keys.js';
import { TidemarkError } from '../domain/errors.js';
import type { ExportedKey } from '../domain/schemas/accounts.js';
import { formatKey } from '../keys/key-text.js';
import { openWrappingKey } from '../keys/wrapping-key.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePlan } from './get-plan.js';
import { assertAdmin } from './shared/refusals.js';

/** Gives an admin the wrapping key of a plan in the clear, so that its backups can be read without this installation. Recorded. */
export async function exportPlanKey(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string },
): Promise<ExportedKey> {
  assertAdmin(principal, 'export a key');
  const plan = await requirePlan(context, principal, input.planId);
  const row = plan.keyId === null ? null : await findWrappingKey(context.catalog.prisma, plan.keyId);
  if (row === null) {
    throw new TidemarkError('key_missing', `The plan ${plan.id} is not encrypted, so it has no key.`, {
      object: plan.id,
    });
  }
  const key = await openWrappingKey(context.masterKey, row.id, row.sealed);
  const exportedAt = await context.catalog.prisma.$transaction(async (tx) => {
    await recordAudit(tx, principal, 'key.exported', row.id, { planId: plan.id });
    return await markKeyExported(tx, row.id);
  });
  return {
    format: 'tidemark-wrapping-key-1',
    keyId: row.id,
    planId: plan.id,
    key: formatKey(key.bytes),
    exportedAt: exportedAt.toISOString(),
  };
}
