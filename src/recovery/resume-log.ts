import { createHash } from 'node:crypto';
import { TidemarkError } from '../domain/errors.js';
import type { LogFollowerOptions } from '../engines/log-follower.js';
import type { KeyOpener } from '../keys/key-opener.js';
import { assertLinked, openSlice, readSliceRecord } from '../storage/read-log-slice.js';
import type { SlicePlace, StoredSlice } from '../storage/slice-record.js';
import { sliceRecordKey, tailOf } from '../storage/slice-record.js';

export type LogStore = {
  readonly place: SlicePlace;
  readonly openKey: KeyOpener;
  readonly signal: AbortSignal;
};

/** Reads the records under these keys, in order. Throws `object_missing` for one that is gone. */
export async function readRecords(store: LogStore, recordKeys: readonly string[]): Promise<StoredSlice[]> {
  const slices: StoredSlice[] = [];
  // A few at a time: each is one small object, and a range may have thousands.
  for (let index = 0; index < recordKeys.length; index += 16) {
    const some = recordKeys.slice(index, index + 16).map(async (recordKey) => {
      const found = await readSliceRecord({ ...store, recordKey });
      if (found !== null) return found;
      throw new TidemarkError('object_missing', `The slice record ${recordKey} is missing.`, { object: recordKey });
    });
    slices.push(...(await Promise.all(some)));
  }
  return slices;
}

/**
 * Slices in the store that come after `last` and that no row tells of: a writer was killed between the record and its row. They are part
 * of the archive; whoever wrote the same numbers again would be refused by the store.
 */
export async function findUnnoted(store: LogStore, last: StoredSlice | null): Promise<StoredSlice[]> {
  const found: StoredSlice[] = [];
  for (;;) {
    const before = found.at(-1) ?? last;
    const seq = (before?.record.seq ?? 0) + 1;
    const next = await readSliceRecord({ ...store, recordKey: sliceRecordKey(store.place, seq, seq) });
    if (next === null) return found;
    if (next.record.previous !== (before === null ? null : tailOf(before))) {
      throw new TidemarkError('manifest_forged', `${next.recordKey} does not follow the slice before it.`, {
        object: next.recordKey,
      });
    }
    found.push(next);
  }
}

/** What a follower is told of the store: where it ends, and the hash of what it has of the file there. */
export async function resumeFrom(
  store: LogStore,
  stored: {
    readonly last: StoredSlice;
    /** Slices of the last file, in order. */
    readonly ofFile: readonly StoredSlice[];
    /** Slices of the newest whole file before it; empty when there is none. */
    readonly before: readonly StoredSlice[];
  },
): Promise<LogFollowerOptions['resume']> {
  assertLinked(stored.ofFile);
  const { record } = stored.last;
  const hash = createHash('sha256');
  let bytes = 0;
  for (const slice of stored.ofFile) {
    if (slice.record.offset !== bytes) throw missingPart(slice, bytes);
    for await (const chunk of (await openSlice({ ...store, record: slice.record })) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  }
  const offset = record.offset + record.object.bytes;
  if (bytes !== offset) throw missingPart(stored.last, bytes);
  const before = stored.before[0]?.record;
  return {
    cursor: { file: record.file, offset },
    position: record.endPosition,
    server: record.source,
    prefixSha256: hash.digest('hex'),
    before: before === undefined ? null : { file: before.file, read: () => readWhole(store, stored.before) },
  };
}

function missingPart(slice: StoredSlice, bytes: number): TidemarkError {
  return new TidemarkError(
    'log_gap',
    `The stored part of ${slice.record.file} has a hole at byte ${bytes}: following cannot go on from it.`,
    { object: slice.recordKey },
  );
}

async function readWhole(store: LogStore, slices: readonly StoredSlice[]): Promise<Buffer> {
  assertLinked(slices);
  const chunks: Buffer[] = [];
  for (const { record } of slices) {
    for await (const chunk of await openSlice({ ...store, record })) chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}
