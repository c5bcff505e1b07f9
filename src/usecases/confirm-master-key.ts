import { recordAudit } from '../catalog/audit-events.js';
import { confirmMasterKeyRow } from '../catalog/installations.js';
import type { KeyContext, Principal } from './context.js';
import { assertAdmin } from './shared/refusals.js';

/** An admin says that the master key is saved elsewhere; until then the service reminds at every start. */
export async function confirmMasterKey(
  context: KeyContext,
  principal: Principal,
): Promise<{ masterKeyConfirmedAt: string }> {
  assertAdmin(principal, 'confirm the master key');
  const at = await context.catalog.prisma.$transaction(async (tx) => {
    await recordAudit(tx, principal, 'master_key.confirmed', context.installationId);
    return await confirmMasterKeyRow(tx, context.installationId);
  });
  return { masterKeyConfirmedAt: at.toISOString() };
}
