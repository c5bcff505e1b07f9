import { createHash } from 'node:crypto';
import { TidemarkError } from '../domain/errors.js';
import type { LogFollowerOptions } from '../engines/log-follower.js';
import type { KeyOpener } from '../keys/key-opener.js';
import { isDamage } from '../storage/is-damage.js';
import { assertLinked, openSlice, readSliceRecord } from '../storage/read-log-slice.js';
import type { SlicePlace, StoredSlice } from '../storage/slice-record.js';
import { sliceRecordKey, tailOf } from '../storage/slice-record.js';

export type LogStore = {
  readonly place: SlicePlace;
  readonly openKey: KeyOpener;
  readonly signal: AbortSignal;
};

/** Reads records, in order. Throws `object_missing` for one that is gone, `manifest_forged` for one that is not the noted one. */
export async function readRecords(
  store: LogStore,
  rows: readonly { readonly recordKey: string; readonly recordSha256: string }[],
): Promise<StoredSlice[]> {
  const slices: StoredSlice[] = [];
  // A few at a time: each is one small object, and a range may have thousands.
  for (let index = 0; index < rows.length; index += 16) {
    const some = rows.slice(index, index + 16).map(async ({ recordKey, recordSha256 }) => {
      const found = await readSliceRecord({ ...store, recordKey });
      if (found === null) {
        throw new TidemarkError('object_missing', `The slice record ${recordKey} is missing.`, { object: recordKey });
      }
      if (found.recordSha256 !== recordSha256) {
        throw new TidemarkError('manifest_forged', `${recordKey} is not the record that was written.`, {
          object: recordKey,
        });
      }
      return found;
    });
    slices.push(...(await Promise.all(some)));
  }
  return slices;
}

/** A slice that is not, or not any more, what was written. */
export type DamagedSlice = { readonly recordKey: string; readonly code: string; readonly message: string };

/**
 * Slices in the store that come after `last` and that no row tells of: a writer was killed between the record and its row. They are part
 * of the archive; whoever wrote the same numbers again would be refused by the store. `broken`: the record with which that ends, when it is
 * not one that follows the slice before it.
 */
export async function findUnnoted(
  store: LogStore,
  last: StoredSlice | null,
): Promise<{ readonly slices: readonly StoredSlice[]; readonly broken: DamagedSlice | null }> {
  const slices: StoredSlice[] = [];
  for (;;) {
    const before = slices.at(-1) ?? last;
    const seq = (before?.record.seq ?? 0) + 1;
    const recordKey = sliceRecordKey(store.place, seq, seq);
    try {
      const next = await readSliceRecord({ ...store, recordKey });
      if (next === null) return { slices, broken: null };
      if (next.record.previous !== (before === null ? null : tailOf(before))) {
        throw new TidemarkError('manifest_forged', `${recordKey} does not follow the slice before it.`, {
          object: recordKey,
        });
      }
      slices.push(next);
    } catch (error) {
      if (!isDamage(error)) throw error;
      return { slices, broken: { recordKey, code: error.code, message: error.message } };
    }
  }
}

/** What a follower is told of the store: where it ends, and the hash of what it has of the file there. */
export async function resumeFrom(
  store: LogStore,
  stored: {
    readonly last: StoredSlice;
    /** Slices of the last file, in order. */
    readonly ofFile: readonly StoredSlice[];
    /** The files before it, newest first, each as its slices in order. */
    readonly earlier: () => AsyncIterable<readonly StoredSlice[]>;
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
  return {
    cursor: { file: record.file, offset },
    position: record.endPosition,
    server: record.source,
    prefixSha256: hash.digest('hex'),
    readBack: () => readBack(store, stored),
  };
}

/** The files of a stored log, newest first, as far back as they are whole. */
async function* readBack(
  store: LogStore,
  { ofFile, earlier }: Pick<Parameters<typeof resumeFrom>[1], 'ofFile' | 'earlier'>,
): ReturnType<NonNullable<NonNullable<LogFollowerOptions['resume']>['readBack']>> {
  const file = (slices: readonly StoredSlice[]) => ({
    file: slices[0]?.record.file ?? '',
    content: contentOf(store, slices),
  });
  yield file(ofFile);
  try {
    for await (const slices of earlier()) {
      // Retention has begun to remove it.
      if (slices[0]?.record.offset !== 0) return;
      yield file(slices);
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
}

/** The bytes of slices that follow each other. Throws `log_gap` where one is not what was written. */
async function* contentOf(store: LogStore, slices: readonly StoredSlice[]): AsyncGenerator<Buffer> {
  assertLinked(slices);
  try {
    for (const { record } of slices) yield* (await openSlice({ ...store, record })) as AsyncIterable<Buffer>;
  } catch (error) {
    if (!isDamage(error)) throw error;
    throw new TidemarkError('log_gap', error.message, error.details, { cause: error });
  }
}

function missingPart(slice: StoredSlice, bytes: number): TidemarkError {
  return new TidemarkError(
    'log_gap',
    `The stored part of ${slice.record.file} has a hole at byte ${bytes}: following cannot go on from it.`,
    { object: slice.recordKey },
  );
}
