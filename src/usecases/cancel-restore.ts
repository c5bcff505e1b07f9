import { recordAudit } from '../catalog/audit-events.js';
import { requestRestoreCancel } from '../catalog/restores.js';
import { TidemarkError } from '../domain/errors.js';
import type { RestoreResource } from '../domain/schemas/restores.js';
import { restoreWorkflowId } from '../workflows/names.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireRestore } from './get-restore.js';
import { presentRestore } from './present/present-restore.js';
import { cancelRun } from './runs/cancel-run.js';

/**
 * Asks a restore to stop. Before the swap its staging database is dropped and the target was never touched; from the first step of
 * the swap on it is finished instead. Throws `conflict` when it is settled already.
 */
export async function cancelRestore(
  context: UsecaseContext,
  principal: Principal,
  input: { restoreId: string },
): Promise<RestoreResource> {
  const before = await requireRestore(context, principal, input.restoreId);
  await context.catalog.prisma.$transaction(async (tx) => {
    if (!(await requestRestoreCancel(tx, before.id))) {
      throw new TidemarkError('conflict', `The restore ${before.id} has ended already (${before.status}).`, {
        object: before.id,
      });
    }
    await recordAudit(tx, principal, 'restore.cancel_requested', before.id);
  });
  await cancelRun(context, restoreWorkflowId(before.id));
  return presentRestore(await requireRestore(context, principal, before.id));
}
