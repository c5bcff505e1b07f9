import { recordAudit } from '../catalog/audit-events.js';
import { requestBackupCancel } from '../catalog/backups.js';
import { TidemarkError } from '../domain/errors.js';
import type { BackupResource } from '../domain/schemas/backups.js';
import { backupWorkflowId } from '../workflows/names.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireBackup } from './get-backup.js';
import { presentBackup } from './present/present-backup.js';
import { cancelRun } from './runs/cancel-run.js';
import { assertMayChange } from './shared/server-backups.js';

/** Asks a backup to stop. It settles as cancelled when its worker has removed what it wrote. Throws `conflict` when it is settled already. */
export async function cancelBackup(
  context: UsecaseContext,
  principal: Principal,
  input: { backupId: string },
): Promise<BackupResource> {
  const before = await requireBackup(context, principal, input.backupId);
  assertMayChange(principal, before);
  await context.catalog.prisma.$transaction(async (tx) => {
    if (!(await requestBackupCancel(tx, before.id))) {
      throw new TidemarkError('conflict', `The backup ${before.id} has ended already (${before.status}).`, {
        object: before.id,
      });
    }
    await recordAudit(tx, principal, 'backup.cancel_requested', before.id);
  });
  await cancelRun(context, backupWorkflowId(before.id));
  return presentBackup(await requireBackup(context, principal, before.id));
}
