import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '../domain/errors.js';
import type { KeyOpener } from '../keys/key-opener.js';
import { allOrNone } from '../platform/all-or-none.js';
import { writePieces } from '../platform/write-pieces.js';
import { assertLinked, openSlice } from './read-log-slice.js';
import type { SlicePlace, StoredSlice } from './slice-record.js';

/** Files written at a time: each holds a slice in flight. */
const AT_A_TIME = 4;

export type AssembledFile = { readonly name: string; readonly bytes: number };

export type AssembleLogFiles = {
  readonly place: SlicePlace;
  /** A range without holes, in order (`coverRange`). */
  readonly slices: readonly StoredSlice[];
  readonly openKey: KeyOpener;
  /** Folder for the files; made when it is not there. */
  readonly dir: string;
  /** Nothing behind this place is written. */
  readonly cutAt?: { readonly file: string; readonly offset: number } | null;
  readonly signal: AbortSignal;
  readonly onBytes?: (bytes: number) => void;
};

/**
 * Puts slices together to the source's own log files, every byte verified. Throws `log_gap` when the slices do not follow each other or
 * the first file does not begin at its beginning; `object_missing` or `object_corrupt` naming the object.
 */
export async function assembleLogFiles(options: AssembleLogFiles): Promise<AssembledFile[]> {
  assertLinked(options.slices);
  const files = upToCut(groupByFile(options.slices), options.cutAt?.file);
  await mkdir(options.dir, { recursive: true });
  const results: AssembledFile[] = [];
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    options.onBytes?.(done);
  };
  const waiting = files.entries();
  const worker = async (signal: AbortSignal) => {
    for (const [index, slices] of waiting) results[index] = await writeFile({ ...options, signal }, slices, onBytes);
  };
  await allOrNone(
    options.signal,
    Array.from({ length: AT_A_TIME }, () => worker),
  );
  return results;
}

function groupByFile(slices: readonly StoredSlice[]): StoredSlice[][] {
  const files: StoredSlice[][] = [];
  let end = { file: '', offset: 0 };
  for (const slice of slices) {
    const { file, offset, object } = slice.record;
    if (file !== end.file) {
      if (offset !== 0) throw broken(slice, `the first ${offset} bytes of ${file} are not in the range`);
      files.push([]);
    } else if (offset !== end.offset) {
      throw broken(slice, `${file} goes on at ${offset} where ${end.offset} was expected`);
    }
    files.at(-1)?.push(slice);
    end = { file, offset: offset + object.bytes };
  }
  return files;
}

/**
 * A range reads one slice beyond the point, which may be of the next file: written whole behind a file that was cut, it would follow on a hole.
 */
function upToCut(files: readonly StoredSlice[][], cutFile: string | undefined): readonly StoredSlice[][] {
  const at = files.findIndex((slices) => slices[0]?.record.file === cutFile);
  return at < 0 ? files : files.slice(0, at + 1);
}

function broken(slice: StoredSlice, why: string): TidemarkError {
  return new TidemarkError('log_gap', `The log archive is broken at ${slice.recordKey}: ${why}.`, {
    object: slice.recordKey,
  });
}

async function writeFile(
  options: AssembleLogFiles,
  slices: readonly StoredSlice[],
  onBytes: (bytes: number) => void,
): Promise<AssembledFile> {
  const name = slices[0]?.record.file ?? '';
  if (!/^[\w-][\w.-]*$/.test(name)) {
    throw new TidemarkError('manifest_forged', `${JSON.stringify(name)} is not a name of a log file.`);
  }
  const limit = options.cutAt?.file === name ? options.cutAt.offset : Number.POSITIVE_INFINITY;
  const file = await open(join(options.dir, name), 'wx', 0o644);
  let bytes = 0;
  try {
    for (const { record } of slices) {
      const plain = await openSlice({ ...options, record });
      for await (const chunk of plain as AsyncIterable<Buffer>) {
        const kept = chunk.subarray(0, Math.max(0, limit - bytes));
        await writePieces(file, kept);
        bytes += kept.length;
        onBytes(chunk.length);
      }
    }
  } finally {
    await file.close();
  }
  return { name, bytes };
}
