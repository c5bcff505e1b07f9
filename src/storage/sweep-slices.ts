import type { KeyOpener } from '../keys/key-opener.js';
import type { Destination, StoredObjectInfo } from './destination.js';
import { isDamage } from './is-damage.js';
import { parseSlicePlace, ROOT } from './layout.js';
import { readSliceRecord } from './read-log-slice.js';
import type { SlicePlace } from './slice-record.js';
import { parseSliceRecordKey } from './slice-record.js';

type Reading = { readonly destination: Destination; readonly openKey: KeyOpener; readonly signal: AbortSignal };
type RecordKey = { readonly key: string; readonly fromSeq: number; readonly seq: number };

/** One epoch of an archive, as it lies in the store. */
type Archive = {
  readonly place: SlicePlace;
  readonly records: RecordKey[];
  readonly objects: Map<number, StoredObjectInfo[]>;
};

/**
 * Objects of log slices that no record names although the log is stored: their writer was killed, or another one was first. A record names
 * one object, of its own number; only numbers with more objects than records are looked at closely, so that an archive of 100,000 slices
 * costs its listing. An object whose number no record stands for may be all that is left of a damaged slice, and is none.
 */
export async function findOrphanSlices(reading: Reading): Promise<StoredObjectInfo[]> {
  const orphans: StoredObjectInfo[] = [];
  for (const { place, records, objects } of (await listArchives(reading)).values()) {
    const byNumber = Map.groupBy(records, ({ seq }) => seq);
    // A larger slice stands for the numbers of those that it replaced, whose records are gone.
    const larger = records.filter(({ fromSeq, seq }) => fromSeq < seq).sort((a, b) => a.fromSeq - b.fromSeq);
    for (const [seq, found] of objects) {
      const own = byNumber.get(seq) ?? [];
      if (found.length <= own.length) continue;
      const standing = own.length > 0 ? own : larger.filter((one) => one.fromSeq <= seq && seq <= one.seq);
      const named = standing.length === 0 ? null : await namedBy(reading, place, standing);
      if (named !== null) orphans.push(...found.filter(({ key }) => !named.has(key)));
    }
  }
  return orphans;
}

async function listArchives({ destination, signal }: Reading): Promise<Map<string, Archive>> {
  const archives = new Map<string, Archive>();
  for await (const object of destination.list(`${ROOT}/`, { signal })) {
    const about = parseSlicePlace(object.key);
    if (about === null) continue;
    const id = `${about.serverId}/${about.policyId}/${about.epoch}`;
    const archive: Archive = archives.get(id) ?? { place: { destination, ...about }, records: [], objects: new Map() };
    archives.set(id, archive);
    const record = parseSliceRecordKey(object.key);
    // An object's name begins with its number (`sliceName`).
    const seq = /\/(\d{10})-[^/]+$/.exec(object.key)?.[1];
    if (record !== null) archive.records.push({ key: object.key, ...record });
    else if (seq !== undefined) {
      const same = archive.objects.get(Number(seq)) ?? [];
      archive.objects.set(Number(seq), [...same, object]);
    }
  }
  return archives;
}

/** Null when one of the records cannot be read: then nobody knows. */
async function namedBy(
  reading: Reading,
  place: SlicePlace,
  records: readonly RecordKey[],
): Promise<Set<string> | null> {
  const named = new Set<string>();
  try {
    for (const { key: recordKey } of records) {
      const found = await readSliceRecord({ ...reading, place, recordKey });
      if (found === null) return null;
      named.add(found.record.object.key);
    }
    return named;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return null;
  }
}
