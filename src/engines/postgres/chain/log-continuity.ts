import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition } from '../../../domain/positions.js';
import type { FetchedOptions } from '../../chain-engine.js';
import { findSwitchPoint, historyName, parseLsn, parseSegmentName, segmentName } from '../archive/wal-names.js';

/** The log that a sandbox replays: names, and where it ends. */
export type StoredLog = {
  readonly dir: string;
  readonly segmentBytes: number;
  /** Its end: timeline and LSN. */
  readonly timeline: number;
  readonly end: bigint;
  /** Name of the segment that holds what was written at segment `number`. */
  nameOf(number: bigint): string;
};

const incomplete = (message: string) => new TidemarkError('recovery_incomplete', message);

/** Which timeline's segment holds what was written at segment `number` on the way to `timeline`. */
function timelineOf(number: bigint, timeline: number, history: string, segmentBytes: number): number {
  let found = timeline;
  for (let older = timeline - 1; older >= 1; older--) {
    const switched = findSwitchPoint(history, older);
    // The new timeline's first segment begins with a copy of the old one's.
    if (switched !== null && number < switched / BigInt(segmentBytes)) found = older;
  }
  return found;
}

/**
 * Proves from names and sizes that the log goes on without a hole from the end of the backup to `logEnd`: at a hole the server would end
 * recovery quietly and open. Gives the last file of each timeline, which may be cut, the size that the server demands. Throws
 * `recovery_incomplete` naming what is missing.
 */
export function requireStoredLog(
  options: Pick<FetchedOptions, 'logDir' | 'logFiles'>,
  from: LogPosition,
  logEnd: LogPosition,
  segmentBytes: number,
  walDir: string,
): StoredLog {
  const timeline = logEnd.timeline ?? from.timeline ?? 1;
  const end = parseLsn(logEnd.lsn ?? '0/0');
  const start = parseLsn(from.lsn ?? '0/0');
  const files = new Set(options.logFiles.map((file) => file.name));
  let history = '';
  if (timeline > 1) {
    const name = historyName(timeline);
    const place = [options.logDir, walDir].find((dir) =>
      statSync(join(dir, name), { throwIfNoEntry: false })?.isFile(),
    );
    if (place === undefined && from.timeline !== timeline)
      throw incomplete(`The log archive lacks ${name}, which says where timeline ${timeline} began.`);
    if (place !== undefined) history = readFileSync(join(place, name), 'utf8');
  }
  const size = BigInt(segmentBytes);
  const nameOf = (number: bigint) =>
    segmentName({ timeline: timelineOf(number, timeline, history, segmentBytes), number }, segmentBytes);
  const last = end > start ? (end - 1n) / size : start / size - 1n;
  for (let number = start / size; number <= last; number++) {
    const name = nameOf(number);
    if (!files.has(name))
      throw incomplete(`The log archive has a gap: ${name} is missing between ${from.lsn} and ${logEnd.lsn}.`);
    const need = number === last ? end - number * size : size;
    const bytes = statSync(join(options.logDir, name), { throwIfNoEntry: false })?.size ?? 0;
    if (BigInt(bytes) < need)
      throw incomplete(
        `The log archive has a gap: ${name} holds ${bytes} bytes of ${need} between ${from.lsn} and ${logEnd.lsn}.`,
      );
  }
  for (const name of readdirSync(options.logDir)) {
    if (parseSegmentName(name, segmentBytes) === null) continue;
    const path = join(options.logDir, name);
    // Zeros end a log like the zeros of a file that is being written.
    if (statSync(path).size < segmentBytes) truncateSync(path, segmentBytes);
  }
  return { dir: options.logDir, segmentBytes, timeline, end, nameOf };
}

const PAGE = 8192n;
const SHORT_HEADER = 24n;
const LONG_HEADER = 40n;

/** Where a record that follows `lsn` begins: records are aligned to 8 bytes and pages have headers. */
function recordStart(lsn: bigint, segmentBytes: number): bigint {
  const aligned = (lsn + 7n) & ~7n;
  if (aligned % BigInt(segmentBytes) === 0n) return aligned + LONG_HEADER;
  return aligned % PAGE === 0n ? aligned + SHORT_HEADER : aligned;
}

/** Bytes of the log at `lsn`, which must not reach beyond its page; null when they are not there. */
function readBytes(log: StoredLog, lsn: bigint, bytes: number): Buffer | null {
  const size = BigInt(log.segmentBytes);
  const found = Buffer.alloc(bytes);
  let file: number;
  try {
    file = openSync(join(log.dir, log.nameOf(lsn / size)), 'r');
  } catch {
    return null;
  }
  try {
    return readSync(file, found, 0, bytes, Number(lsn % size)) < bytes ? null : found;
  } finally {
    closeSync(file);
  }
}

/** Where the record before the one at `lsn` begins: each names it, 8 bytes from its own beginning. */
export function readPreviousRecord(log: StoredLog, lsn: bigint): bigint | null {
  let at = lsn + 8n;
  if (at % PAGE === 0n) at = recordStart(at, log.segmentBytes);
  const previous = readBytes(log, at, 8)?.readBigUInt64LE();
  return previous === undefined || previous === 0n || previous >= lsn ? null : previous;
}

/**
 * Did replay that ended at `reached` take all of the stored log? Its last bytes may be the beginning of a record whose rest was not stored
 * yet: then nothing is missing that had been committed. Otherwise the server stopped at something it could not read.
 */
export function isWholeLogApplied(log: StoredLog, reached: bigint): boolean {
  if (reached >= log.end) return true;
  const at = recordStart(reached, log.segmentBytes);
  // Not even the length of the next record is there.
  if (at + 4n > log.end) return true;
  const length = readBytes(log, at, 4);
  if (length === null) return false;
  const total = BigInt(length.readUInt32LE());
  // 24 bytes are a record's header; a record of up to a gigabyte is possible.
  return total >= 24n && total <= 1024n * 1024n * 1024n && at + total > log.end;
}
