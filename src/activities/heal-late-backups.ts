import type { LateBackup } from '../catalog/runs/late-backups.js';
import { claimLateRemoval, findLateBackups, recordLateBackup } from '../catalog/runs/late-backups.js';
import { isTidemarkError } from '../domain/errors.js';
import type { Destination } from '../storage/destination.js';
import { backupOwner, manifestKey } from '../storage/layout.js';
import type { Manifest } from '../storage/manifest.js';
import { removeBackup } from '../storage/remove-backup.js';
import { findManifest, recordPublished } from './adopt-manifest.js';
import type { ActivityDeps } from './deps.js';

/** Row and manifest must be at rest this long: an attempt that lost its row removes its manifest itself, and so does the end of its run. */
const AT_REST_MS = 15 * 60_000;

/**
 * Brings rows and manifests together again where a run was settled as failed or cancelled and its attempt published all the same, and
 * was killed before it could take that back. A failed run whose backup is whole becomes completed: a backup that can be restored is
 * worth more than being right about a failure. One that is not whole, was cancelled or is to be deleted loses its manifest and objects,
 * as it would have at its end. `backupIds`: those with an authentic manifest in this destination. Returns what was done.
 */
export async function healLateBackups(
  deps: ActivityDeps,
  options: {
    readonly destination: Destination;
    readonly destinationId: string;
    readonly backupIds: readonly string[];
    readonly signal: AbortSignal;
  },
): Promise<{ adopted: string[]; removed: string[] }> {
  const { destination, destinationId, backupIds, signal } = options;
  const atRest = new Date(Date.now() - AT_REST_MS);
  const adopted: string[] = [];
  const removed: string[] = [];
  for (const row of await findLateBackups(deps.catalog, destinationId, backupIds, atRest)) {
    const written = await destination.stat(manifestKey(backupOwner(row), row.id), { signal });
    if (written === null || new Date(written.modifiedAt) > atRest) continue;
    const manifest = await findManifest(deps, row, destination, signal);
    if (manifest === null) continue;
    const unwanted = await whyUnwanted(row, manifest, destination, signal);
    try {
      if (unwanted === null) {
        await recordPublished(deps, manifest, row.fencingToken, null, 'failed');
        adopted.push(row.id);
      } else {
        if (!(await claimLateRemoval(deps.catalog, row.id))) continue;
        await removeBackup({ destination, ownerId: backupOwner(row), backupId: row.id, signal });
        removed.push(row.id);
      }
    } catch (error) {
      // Somebody else has dealt with it meanwhile.
      if (isTidemarkError(error) && error.code === 'fenced') continue;
      throw error;
    }
    const action = unwanted === null ? 'backup.late_adopted' : 'backup.late_removed';
    const reason =
      unwanted ?? 'The backup had been published when its run was settled as failed, and all of it is there.';
    await recordLateBackup(deps.catalog, row.id, action, reason);
    deps.logger.warn({ backupId: row.id, action, reason }, 'a manifest of a settled run was found');
  }
  return { adopted, removed };
}

/** Null for a failed run whose every object is there in its size. Contents are hashed by whoever reads them, as after any other settling. */
async function whyUnwanted(
  row: LateBackup,
  manifest: Manifest,
  destination: Destination,
  signal: AbortSignal,
): Promise<string | null> {
  if (row.status === 'cancelled') return 'The run was cancelled; what it published after that is not wanted.';
  if (row.deleteRequestedAt !== null) return 'The backup was to be deleted.';
  for (const object of manifest.artifacts.flatMap((artifact) => artifact.objects)) {
    const found = await destination.stat(object.key, { signal });
    if (found?.bytes !== object.storedBytes)
      return `The backup is not whole: ${object.key} is missing or of another size.`;
  }
  return null;
}
