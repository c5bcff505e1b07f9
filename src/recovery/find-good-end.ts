import { isDamage } from '../storage/is-damage.js';
import { assertLinked, openSlice, readSliceRecord } from '../storage/read-log-slice.js';
import type { StoredSlice } from '../storage/slice-record.js';
import { sliceRecordKey, tailOf } from '../storage/slice-record.js';
import type { DamagedSlice, LogStore } from './resume-log.js';
import { readRecords } from './resume-log.js';

/** A slice as it was noted when it was stored. */
export type NotedSlice = {
  readonly recordKey: string;
  readonly recordSha256: string;
  readonly fromSeq: number;
  readonly seq: number;
  readonly file: string;
};

export type GoodEnd = {
  /** Good slices of the newest file that has any, in order from its beginning; empty when nothing of the epoch is good. */
  readonly ofFile: readonly StoredSlice[];
  /** Slices behind them that cannot be read, in order. */
  readonly damaged: readonly DamagedSlice[];
};

/**
 * Where an archive can be gone on from whose end is damaged: reads the slices of its newest file in order, every byte verified, up to the
 * first that is not as it was written; when already the first one is not, the file before. `noted`: the slices of the epoch that nothing
 * replaces, in order. Throws what a store throws that does not answer.
 */
export async function findGoodEnd(store: LogStore, noted: readonly NotedSlice[]): Promise<GoodEnd> {
  const damaged: DamagedSlice[] = [];
  for (const file of groupByFile(noted).reverse()) {
    const good: StoredSlice[] = [];
    const bad: DamagedSlice[] = [];
    for (const one of file) {
      try {
        const slice = await readWhole(store, one);
        const before = good.at(-1);
        // Behind a damaged one nothing can be gone on from, but what is damaged is to be named.
        if (bad.length > 0) continue;
        if (before !== undefined) assertLinked([before, slice]);
        good.push(slice);
      } catch (error) {
        if (!isDamage(error)) throw error;
        bad.push({ recordKey: one.recordKey, code: error.code, message: error.message });
      }
    }
    damaged.unshift(...bad);
    if (good.length > 0) return { ofFile: good, damaged };
  }
  return { ofFile: [], damaged };
}

/** Slices in order, the files in which they lie in order. */
export function groupByFile(noted: readonly NotedSlice[]): NotedSlice[][] {
  const groups: NotedSlice[][] = [];
  for (const one of noted) {
    if (groups.at(-1)?.at(-1)?.file === one.file) groups.at(-1)?.push(one);
    else groups.push([one]);
  }
  return groups;
}

async function readWhole(store: LogStore, { recordKey, recordSha256 }: NotedSlice): Promise<StoredSlice> {
  const [slice] = await readRecords(store, [{ recordKey, recordSha256 }]);
  if (slice === undefined) throw new RangeError('one record was asked for');
  for await (const _chunk of await openSlice({ ...store, record: slice.record })) {
    // Counts only when it ends without an error.
  }
  return slice;
}

/**
 * The highest number that is taken in the store from `seq` on, whatever stands under it: a record that nobody can read keeps its number.
 * The first slice that replaces a damaged end stands for all of these and one more, so that its name is free.
 */
export async function highestTaken({ place, signal }: LogStore, seq: number): Promise<number> {
  let taken = seq;
  const isThere = (from: number, to: number) =>
    place.destination.stat(sliceRecordKey(place, from, to), { signal }).then((found) => found !== null);
  while (await isThere(taken + 1, taken + 1)) taken += 1;
  return taken;
}

/**
 * A replacement of a damaged end that was stored and, its writer being killed, not noted; null when there is none. `taken` is the highest
 * number that it may have found taken. One that is damaged itself is passed over, its name with it.
 */
export async function findReplacement(
  store: LogStore,
  last: StoredSlice | null,
  taken: number,
): Promise<{ readonly slice: StoredSlice | null; readonly taken: number }> {
  for (let to = taken + 1; ; to += 1) {
    const recordKey = sliceRecordKey(store.place, (last?.record.seq ?? 0) + 1, to);
    try {
      const slice = await readSliceRecord({ ...store, recordKey });
      if (slice === null || slice.record.previous === (last === null ? null : tailOf(last)))
        return { slice, taken: to - 1 };
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
}
