import { Readable } from 'node:stream';
import { openSlice } from '../storage/read-log-slice.js';
import type { SliceKeys, StoredSlice } from '../storage/slice-record.js';
import { tailOf } from '../storage/slice-record.js';
import { writeLogSlice } from '../storage/write-log-slice.js';
import type { LogStore } from './resume-log.js';

/** Slices from this size on stay as they are. */
export const LARGE_SLICE = 16 * 1024 * 1024;
/** A trickle makes many slices long before they are large together. */
const MANY = 200;

/** Whether a row of neighbouring slices of one file is due to become one. */
export function isDue(slices: readonly StoredSlice[]): boolean {
  if (slices.length < 2) return false;
  const ends = slices.at(-1)?.record.endsFile === true;
  return ends || slices.length >= MANY || bytesOf(slices) >= LARGE_SLICE;
}

export const bytesOf = (slices: readonly StoredSlice[]) =>
  slices.reduce((sum, slice) => sum + slice.record.object.bytes, 0);

/** Neighbours of one file, from small slices in order. */
export function groupNeighbours(slices: readonly StoredSlice[]): StoredSlice[][] {
  const groups: StoredSlice[][] = [];
  for (const slice of slices) {
    const before = groups.at(-1)?.at(-1)?.record;
    if (before?.file === slice.record.file && before.seq + 1 === slice.record.fromSeq) groups.at(-1)?.push(slice);
    else groups.push([slice]);
  }
  return groups;
}

/**
 * Stores neighbouring slices of one file as one, read back from the store: what is replaced is thereby read and verified once more. The
 * smaller ones stay until their rows are marked and readers had time to end.
 */
export async function mergeSlices(options: {
  readonly store: LogStore;
  readonly keys: SliceKeys;
  readonly slices: readonly StoredSlice[];
  readonly assertMayPublish: () => Promise<void>;
}): Promise<StoredSlice> {
  const { store, slices } = options;
  const first = slices[0];
  const last = slices.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('nothing to merge');
  const { chainId, file, offset, fromSeq, previous, startPosition } = first.record;
  const { source, seq, endsFile, endPosition, coversTo } = last.record;
  const commits = slices.map((slice) => slice.record);
  return await writeLogSlice({
    place: store.place,
    keys: options.keys,
    installationId: first.record.installationId,
    slice: {
      chainId,
      fromSeq,
      seq,
      source,
      file,
      offset,
      bytes: bytesOf(slices),
      endsFile,
      startPosition,
      endPosition,
      firstCommitAt: commits.find((record) => record.firstCommitAt !== null)?.firstCommitAt ?? null,
      lastCommitAt: commits.findLast((record) => record.lastCommitAt !== null)?.lastCommitAt ?? null,
      coversTo: coversTo ?? commits.findLast((record) => record.coversTo !== null)?.coversTo ?? null,
      previous,
      tail: tailOf(last),
    },
    source: Readable.from(contentOf(store, slices), { objectMode: false }),
    signal: store.signal,
    assertMayPublish: options.assertMayPublish,
  });
}

async function* contentOf(store: LogStore, slices: readonly StoredSlice[]): AsyncGenerator<Buffer> {
  for (const { record } of slices) yield* (await openSlice({ ...store, record })) as AsyncIterable<Buffer>;
}
