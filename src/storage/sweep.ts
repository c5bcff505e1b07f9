import { isTidemarkError } from '../domain/errors.js';
import type { KeyOpener } from '../keys/key-opener.js';
import type { Destination, StoredObjectInfo } from './destination.js';
import { ownerKey, parseBackupKey, ROOT } from './layout.js';
import { readOwner } from './owner.js';
import { readManifest } from './read-manifest.js';
import { findOrphanSlices } from './sweep-slices.js';

export type Sweep = {
  readonly destination: Destination;
  readonly installationId: string;
  /** Only what is older than this goes: 7 days before now (design section 3). */
  readonly olderThan: Date;
  readonly openKey: KeyOpener;
  /** Attempts that may still be writing, whatever their age. */
  readonly liveAttemptIds: ReadonlySet<string>;
  readonly signal: AbortSignal;
};

export type SweepResult = {
  readonly removedKeys: readonly string[];
  readonly abortedUploads: readonly string[];
  /** Backups found, for comparison with the catalog: one it does not know is reported for import, never deleted. */
  readonly backups: readonly { readonly ownerId: string; readonly backupId: string }[];
  /** Manifests that could not be authenticated; everything under them was left alone. */
  readonly unreadable: readonly { readonly ownerId: string; readonly backupId: string; readonly reason: string }[];
};

/**
 * Removes what no manifest and no slice record names: unfinished uploads, the objects of failed attempts and those of killed followers, older
 * than `olderThan`, written since this installation claimed the destination. A manifest is never removed, and under one that is not authentic nothing is. When another
 * installation owns the destination nothing is done.
 */
export async function sweep(options: Sweep): Promise<SweepResult> {
  const { destination, signal } = options;
  const nothing: SweepResult = { removedKeys: [], abortedUploads: [], backups: [], unreadable: [] };
  const owner = await readOwner({ destination, signal });
  if (owner?.installationId !== options.installationId) return nothing;
  // By the store's own clock, as are the objects' times: what lay here before we took over is another installation's.
  const claimedAt = (await destination.stat(ownerKey, { signal }))?.modifiedAt;
  if (!claimedAt) return nothing;

  const groups = await groupByBackup(options);
  const removedKeys: string[] = [];
  const backups: { ownerId: string; backupId: string }[] = [];
  const unreadable: { ownerId: string; backupId: string; reason: string }[] = [];
  for (const { ownerId, backupId, hasManifest, objects } of groups.values()) {
    let named = new Set<string>();
    if (hasManifest) {
      backups.push({ ownerId, backupId });
      try {
        named = await namedObjects(options, ownerId, backupId);
      } catch (error) {
        if (!isTidemarkError(error) || error.code === 'destination_unreachable') throw error;
        unreadable.push({ ownerId, backupId, reason: error.message });
        continue;
      }
    }
    const keys = objects.filter((object) => mayGo(options, object, named, claimedAt)).map((object) => object.key);
    await destination.remove(keys, { signal });
    removedKeys.push(...keys);
  }
  const strays = (await findOrphanSlices(options)).filter((object) => isOldEnough(options, object, claimedAt));
  await destination.remove(
    strays.map(({ key }) => key),
    { signal },
  );
  removedKeys.push(...strays.map(({ key }) => key));
  const abortedUploads = await destination.sweepUploads(`${ROOT}/`, { olderThan: options.olderThan, signal });
  return { removedKeys, abortedUploads, backups, unreadable };
}

type Group = { ownerId: string; backupId: string; hasManifest: boolean; objects: StoredObjectInfo[] };

async function groupByBackup({ destination, signal }: Sweep): Promise<Map<string, Group>> {
  const groups = new Map<string, Group>();
  for await (const object of destination.list(`${ROOT}/`, { signal })) {
    const place = parseBackupKey(object.key);
    if (!place) continue;
    const id = `${place.ownerId}/${place.backupId}`;
    const group = groups.get(id) ?? {
      ownerId: place.ownerId,
      backupId: place.backupId,
      hasManifest: false,
      objects: [],
    };
    groups.set(id, group);
    if (place.isManifest) group.hasManifest = true;
    else group.objects.push(object);
  }
  return groups;
}

async function namedObjects(options: Sweep, ownerId: string, backupId: string): Promise<Set<string>> {
  const { destination, openKey, signal } = options;
  const { manifest } = await readManifest({ destination, ownerId, backupId, openKey, signal });
  return new Set(manifest.artifacts.flatMap((artifact) => artifact.objects.map((object) => object.key)));
}

function mayGo(options: Sweep, object: StoredObjectInfo, named: ReadonlySet<string>, claimedAt: string): boolean {
  const attemptId = parseBackupKey(object.key)?.attemptId;
  if (!attemptId || options.liveAttemptIds.has(attemptId) || named.has(object.key)) return false;
  return isOldEnough(options, object, claimedAt);
}

function isOldEnough({ olderThan }: Sweep, { modifiedAt }: StoredObjectInfo, claimedAt: string): boolean {
  return modifiedAt >= claimedAt && new Date(modifiedAt) < olderThan;
}
