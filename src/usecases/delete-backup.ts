import { recordAudit } from '../catalog/audit-events.js';
import {
  findBackup,
  findRestoresReading,
  lockBackup,
  markBackupDeleted,
  requestBackupDeletion,
  requestBackupDeletions,
} from '../catalog/backups.js';
import { TidemarkError } from '../domain/errors.js';
import type { RemovedBackup } from '../domain/schemas/backups.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentBackup } from './present/present-backup.js';
import { startDeletion, startOrLeave } from './runs/start-run.js';
import { notFound, stillReferenced } from './shared/refusals.js';
import { assertMayChange, findDependents } from './shared/server-backups.js';

/**
 * Deletes a backup. `removing` while its objects go in the background (202), `gone` when nothing is left to remove (204): a run that
 * never wrote, or one whose destination was deleted, whose objects then stay where they are. Throws `run_in_progress` for a run that
 * has not ended and `still_referenced` naming restores that read it. Incrementals that need it go with it, and are named.
 */
export async function deleteBackup(
  context: UsecaseContext,
  principal: Principal,
  input: { backupId: string },
): Promise<{ state: 'removing'; backup: RemovedBackup } | { state: 'gone' }> {
  const outcome = await context.catalog.prisma.$transaction(async (tx) => {
    await lockBackup(tx, input.backupId);
    const row = await findBackup(tx, principal, input.backupId);
    if (row === null) throw notFound('backup', input.backupId);
    assertMayChange(principal, row);
    if (row.status === 'pending' || row.status === 'in_progress') {
      throw new TidemarkError('run_in_progress', `The backup ${row.id} is ${row.status}; cancel it first.`, {
        object: row.id,
        references: [row.id],
      });
    }
    const readers = await findRestoresReading(tx, row);
    if (readers.length > 0) throw stillReferenced('backup', row.id, readers);
    if (row.deleteRequestedAt !== null) return { row, removes: [] };
    const destinationGone = row.destination.deletedAt !== null;
    const nothingWritten = row.status === 'skipped' || row.fencingToken === 0;
    if (destinationGone || nothingWritten) {
      await markBackupDeleted(tx, row.id);
      await recordAudit(tx, principal, 'backup.deleted', row.id, { objectsLeft: destinationGone && !nothingWritten });
      return null;
    }
    const removes = await findDependents(tx, row);
    await requestBackupDeletions(tx, removes);
    await recordAudit(tx, principal, 'backup.delete_requested', row.id, { removes });
    return { row: await requestBackupDeletion(tx, row.id), removes };
  });
  if (outcome === null) return { state: 'gone' };
  const { row, removes } = outcome;
  for (const id of [...removes, row.id]) await startOrLeave(context, id, () => startDeletion(context, id));
  return { state: 'removing', backup: { ...presentBackup(row), removes } };
}
