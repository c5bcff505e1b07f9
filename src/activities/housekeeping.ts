import {
  expireRows as expire,
  findHousekeeping as find,
  findLiveAttempts,
  findUnknownBackups,
} from '../catalog/runs/housekeeping.js';
import { findResealedKeys } from '../catalog/runs/resealed-keys.js';
import { installationKeyId } from '../keys/installation-key.js';
import { assertNotForeign } from '../storage/owner.js';
import { sweep } from '../storage/sweep.js';
import { syncSealedKeys } from '../storage/sync-sealed-keys.js';
import type { Activities } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import { healLateBackups } from './heal-late-backups.js';
import { keyOpener, openStore } from './open-run.js';
import { runShort, runStep } from './run-step.js';

export function findHousekeeping(deps: ActivityDeps): Activities['findHousekeeping'] {
  return () => runShort(deps, 'find-housekeeping', () => find(deps.catalog));
}

export function expireRows(deps: ActivityDeps): Activities['expireRows'] {
  return () => runShort(deps, 'expire-rows', () => expire(deps.catalog));
}

/** What no manifest names is removed only when it is this old: a run that hangs for days must not lose its objects. */
const SWEEP_AFTER_MS = 7 * 86_400_000;

export function sweepDestination(deps: ActivityDeps): Activities['sweepDestination'] {
  return ({ destinationId }) =>
    runStep(deps, 'sweep-destination', async (step) => {
      const row = await deps.catalog.prisma.destination.findUnique({ where: { id: destinationId } });
      if (row === null || row.deletedAt !== null || !row.enabled) {
        return { uploads: 0, objects: 0, lateAdopted: 0, lateRemoved: 0, unknownManifests: 0 };
      }
      // Asked before the store is listed: an attempt that begins meanwhile writes objects too young to go.
      const liveAttemptIds = await findLiveAttempts(deps.catalog);
      const destination = await openStore(deps, row);
      try {
        // Another installation's sealed keys would be overwritten with ours, and its old attempts taken for leftovers.
        await assertNotForeign({ destination, installationId: deps.installationId, signal: step.signal });
        await syncSealedKeys({
          destination,
          keys: await findResealedKeys(deps.catalog, destinationId, installationKeyId(deps.installationId)),
          signal: step.signal,
        });
        const swept = await sweep({
          destination,
          installationId: deps.installationId,
          olderThan: new Date(Date.now() - SWEEP_AFTER_MS),
          openKey: keyOpener(deps),
          liveAttemptIds,
          signal: step.signal,
        });
        const late = await healLateBackups(deps, {
          destination,
          destinationId,
          backupIds: swept.backups
            .map((backup) => backup.backupId)
            .filter((id) => !swept.unreadable.some((bad) => bad.backupId === id)),
          signal: step.signal,
        });
        const unknown = await findUnknownBackups(
          deps.catalog,
          swept.backups.map((backup) => backup.backupId),
        );
        if (unknown.length > 0 || swept.unreadable.length > 0) {
          deps.logger.warn(
            { destinationId, unknown, unreadable: swept.unreadable },
            'the store holds backups that the catalog does not know or that are not authentic; nothing of them was removed',
          );
        }
        return {
          uploads: swept.abortedUploads.length,
          objects: swept.removedKeys.length,
          lateAdopted: late.adopted.length,
          lateRemoved: late.removed.length,
          unknownManifests: unknown.length,
        };
      } finally {
        destination.close();
      }
    });
}
