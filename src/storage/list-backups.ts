import type { Destination } from './destination.js';
import { parseBackupKey, ROOT } from './layout.js';

export type FoundBackup = { readonly ownerId: string; readonly backupId: string; readonly modifiedAt: string };

/** Every backup in the destination that has a manifest, in the order of the store's names. The manifests are not read. */
export async function* listBackups(options: {
  readonly destination: Destination;
  readonly signal: AbortSignal;
}): AsyncGenerator<FoundBackup> {
  for await (const { key, modifiedAt } of options.destination.list(`${ROOT}/`, { signal: options.signal })) {
    const place = parseBackupKey(key);
    if (place?.isManifest) yield { ownerId: place.ownerId, backupId: place.backupId, modifiedAt };
  }
}
