import { fenceBackup, readBackupRun, settleBackup as settle } from '../catalog/runs/backup-run.js';
import { isTidemarkError } from '../domain/errors.js';
import { backupOwner } from '../storage/layout.js';
import { removeBackup } from '../storage/remove-backup.js';
import type { Activities } from '../workflows/activity-types.js';
import { adoptPublished, findManifest } from './adopt-manifest.js';
import { toResult } from './begin-attempt.js';
import type { ActivityDeps } from './deps.js';
import { openStore } from './open-run.js';
import { removeOtherAttempts } from './remove-objects.js';
import type { Step } from './run-step.js';
import { runStep } from './run-step.js';

/** How long the store may take to say whether something was published; a store that is down must not hold the row and its database. */
const LOOK_MS = 15_000;

/**
 * Settles a run that failed or was cancelled: fences what may still run, looks once more whether a manifest was published (then the
 * backup is complete, whatever became of the worker), and writes the result.
 */
export function settleBackup(deps: ActivityDeps): Activities['settleBackup'] {
  return ({ backupId, status, error }) =>
    runStep(deps, 'settle-backup', async (step) => {
      const fenced = await fenceBackup(deps.catalog, backupId);
      if (fenced.status !== 'in_progress') return toResult(fenced);
      if (await adoptIfPublished(deps, step, backupId, fenced.token)) return { status: 'completed', code: null };
      await settle(deps.catalog, backupId, status, error);
      return { status, code: error.code };
    });
}

async function adoptIfPublished(deps: ActivityDeps, step: Step, backupId: string, token: number): Promise<boolean> {
  const run = await readBackupRun(deps.catalog, backupId);
  const signal = AbortSignal.any([step.signal, AbortSignal.timeout(LOOK_MS)]);
  try {
    const destination = await openStore(deps, run.destination, { anyState: true });
    try {
      // Reading every object again could take hours; the manifest was written last, by someone who had stored them all.
      return (await adoptPublished(deps, run, token, destination, signal, { readContents: false })) !== null;
    } finally {
      destination.close();
    }
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'fenced') throw error;
    step.signal.throwIfAborted();
    deps.logger.warn({ err: error, backupId }, 'could not look for a published manifest');
    return false;
  }
}

/** Removes what unpublished attempts left in the store. Nothing is removed that the published manifest names. */
export function removeRemains(deps: ActivityDeps): Activities['removeRemains'] {
  return ({ backupId }) =>
    runStep(deps, 'remove-remains', async (step) => {
      const run = await readBackupRun(deps.catalog, backupId);
      const place = { ownerId: backupOwner(run), backupId: run.id };
      const destination = await openStore(deps, run.destination, { anyState: true });
      try {
        if (run.status === 'completed') {
          const manifest = await findManifest(deps, run, destination, step.signal);
          // Without its manifest nothing says which attempt counts: nothing is touched.
          if (manifest === null) return { attempts: 0 };
          const attempts = await removeOtherAttempts({
            destination,
            ...place,
            publishedAttemptId: manifest.attemptId,
            knownAttemptIds: await attemptIdsOf(deps, backupId),
            signal: step.signal,
          });
          return { attempts };
        }
        if (run.status !== 'failed' && run.status !== 'cancelled') return { attempts: 0 };
        await removeBackup({ destination, ...place, signal: step.signal });
        return { attempts: (await attemptIdsOf(deps, backupId)).length };
      } finally {
        destination.close();
      }
    });
}

async function attemptIdsOf(deps: ActivityDeps, backupId: string): Promise<string[]> {
  const rows = await deps.catalog.prisma.attempt.findMany({ where: { backupId }, select: { id: true } });
  return rows.map((row) => row.id);
}
