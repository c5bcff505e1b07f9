import { recordAudit } from '../catalog/audit-events.js';
import type { BackupRow } from '../catalog/backups.js';
import {
  findBackup,
  findRestoresReading,
  lockBackup,
  markBackupDeleted,
  requestBackupDeletion,
  requestBackupDeletions,
} from '../catalog/backups.js';
import { findChain } from '../catalog/chains.js';
import { findBuiltOn } from '../catalog/runs/chain-run.js';
import { TidemarkError } from '../domain/errors.js';
import type { RemovedBackup } from '../domain/schemas/backups.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentBackup } from './present/present-backup.js';
import { startDeletion, startOrLeave } from './runs/start-run.js';
import { askForRetention } from './runs/wake-chain.js';
import { notFound, stillReferenced } from './shared/refusals.js';
import { assertMayChange, findDependents } from './shared/server-backups.js';

/**
 * Deletes a backup. `removing` while its objects go in the background (202), `gone` when nothing is left to remove (204): a run that
 * never wrote, or one whose destination was deleted, whose objects then stay where they are. Throws `run_in_progress` for a run that
 * has not ended, or that is being built on it, and `still_referenced` naming restores that read it. Incrementals that need it go with it, and are named.
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
    const marked = await requestBackupDeletion(tx, row.id);
    // Only now: whoever has chosen one of them as a parent holds its row, or finds it marked.
    const builtOn = await findBuiltOn(tx, [row.id, ...removes]);
    if (builtOn.length > 0) {
      const message = `The incremental ${builtOn[0]} is being built on the backup ${row.id}; cancel it, or wait for it.`;
      throw new TidemarkError('run_in_progress', message, { object: row.id, references: builtOn });
    }
    await recordAudit(tx, principal, 'backup.delete_requested', row.id, { removes });
    return { row: marked, removes };
  });
  if (outcome === null) return { state: 'gone' };
  const { row, removes } = outcome;
  for (const id of [...removes, row.id]) await startOrLeave(context, id, () => startDeletion(context, id));
  await removeItsLog(context, row);
  return { state: 'removing', backup: { ...presentBackup(row), removes } };
}

/** The log that only it needed goes with the retention of its chain, which every day makes up for one that is not asked for here. */
async function removeItsLog(context: UsecaseContext, { chainId }: BackupRow): Promise<void> {
  const chain = chainId === null ? null : await findChain(context.catalog.prisma, chainId);
  if (chain === null || chain.attachments.length === 0 || chain.policy.status === 'paused') return;
  await startOrLeave(context, chain.id, () => askForRetention(context, chain));
}
