import type { Destination } from './destination.js';
import { parseBackupKey, parseSlicePlace, ROOT } from './layout.js';
import type { FoundBackup } from './list-backups.js';
import type { SlicePlace } from './slice-record.js';
import { parseSliceRecordKey } from './slice-record.js';

export type FoundSlice = { readonly place: SlicePlace; readonly recordKey: string };

/** Everything of a destination that can be read by its manifest or record, by one listing; nothing is opened. */
export async function surveyStore(options: {
  readonly destination: Destination;
  readonly signal: AbortSignal;
}): Promise<{ readonly backups: readonly FoundBackup[]; readonly slices: readonly FoundSlice[] }> {
  const { destination, signal } = options;
  const backups: FoundBackup[] = [];
  const slices: FoundSlice[] = [];
  for await (const { key, modifiedAt } of destination.list(`${ROOT}/`, { signal })) {
    const backup = parseBackupKey(key);
    if (backup?.isManifest) backups.push({ ownerId: backup.ownerId, backupId: backup.backupId, modifiedAt });
    const archive = parseSlicePlace(key);
    if (archive !== null && parseSliceRecordKey(key) !== null) {
      slices.push({ place: { destination, ...archive }, recordKey: key });
    }
  }
  return { backups, slices };
}
