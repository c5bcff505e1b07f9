import type { BackupRun } from '../catalog/runs/backup-run.js';
import { readBackupRun } from '../catalog/runs/backup-run.js';
import { findReaders } from '../catalog/runs/chain-retention.js';
import { markDeleted, noteDeletionRefused as note } from '../catalog/runs/housekeeping.js';
import { applyRetention as apply } from '../catalog/runs/retention.js';
import { TidemarkError } from '../domain/errors.js';
import type { BackupStatus } from '../domain/statuses.js';
import { isActive } from '../domain/statuses.js';
import { backupOwner } from '../storage/layout.js';
import { assertNotForeign } from '../storage/owner.js';
import { removeBackup } from '../storage/remove-backup.js';
import type { Activities } from '../workflows/activity-types.js';
import { assertMounted } from './assert-mounted.js';
import type { ActivityDeps } from './deps.js';
import { openStore } from './open-run.js';
import type { Step } from './run-step.js';
import { runShort, runStep } from './run-step.js';

/** Marks what the plan no longer keeps and tells which backups are to be removed. */
export function applyRetention(deps: ActivityDeps): Activities['applyRetention'] {
  return ({ planId }) =>
    runShort(deps, 'apply-retention', async () => ({ deletions: await apply(deps.catalog, planId) }));
}

/** Removes the objects of a backup whose deletion was requested, then marks the row. */
export function deleteBackupObjects(deps: ActivityDeps): Activities['deleteBackupObjects'] {
  return ({ backupId }) => runStep(deps, 'delete-backup', (step) => removeRequested(deps, step, backupId));
}

/** Objects first: a marked row is never looked at again. Throws `conflict` while somebody reads it. */
export async function removeRequested(deps: ActivityDeps, step: Step, backupId: string): Promise<void> {
  const run = await readBackupRun(deps.catalog, backupId);
  if (run.deletedAt !== null) return;
  if (run.deleteRequestedAt === null) {
    throw new TidemarkError('conflict', `Nobody has asked for the deletion of ${backupId}.`, { object: backupId });
  }
  if (isActive(run.status as BackupStatus)) {
    throw new TidemarkError('conflict', `The backup ${backupId} is still ${run.status}.`, { object: backupId });
  }
  const reader = await findReader(deps, run);
  if (reader !== null) {
    throw new TidemarkError('conflict', `The restore ${reader} is reading ${backupId}; it is deleted afterwards.`, {
      object: backupId,
      references: [reader],
    });
  }
  const destination = await openStore(deps, run.destination, { anyState: true });
  try {
    // Under a share that is not mounted nothing is found to remove, and the row would say that all is gone.
    await assertMounted(deps, run.destination, destination, step.signal);
    await assertNotForeign({ destination, installationId: deps.installationId, signal: step.signal });
    await removeBackup({ destination, ownerId: backupOwner(run), backupId, signal: step.signal });
    await markDeleted(deps.catalog, backupId);
  } finally {
    destination.close();
  }
}

/** A restore that reads this backup: by itself, or because it restores something that is built on it. */
async function findReader(deps: ActivityDeps, run: BackupRun): Promise<string | null> {
  if (run.chainId !== null) return (await findReaders(deps.catalog.prisma, run.chainId, run.id))[0] ?? null;
  const reader = await deps.catalog.prisma.restore.findFirst({
    where: { backupId: run.id, status: { in: ['pending', 'in_progress'] } },
    select: { id: true },
  });
  return reader?.id ?? null;
}

export function noteDeletionRefused(deps: ActivityDeps): Activities['noteDeletionRefused'] {
  return ({ backupId, error }) => runShort(deps, 'note-deletion', () => note(deps.catalog, backupId, error));
}
