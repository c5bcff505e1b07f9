import { createHash } from 'node:crypto';
import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition } from '../../../domain/positions.js';
import { positionText } from '../../../domain/positions.js';
import { takeoverOf } from '../../../domain/takeover-files.js';
import type { LogChunk, LogFollowerOptions } from '../../log-follower.js';
import { fromMicros } from '../../shared/microseconds.js';
import { GtidPosition } from '../binlog/gtid-position.js';
import { GtidSet } from '../binlog/gtid-set.js';
import type { BinlogTransaction } from '../binlog/scan-binlog.js';
import { BinlogScanner } from '../binlog/scan-binlog.js';
import type { Brand } from '../brand.js';
import type { BinlogSpool, SpoolCopy } from './binlog-spool.js';
import { hashPrefix, readPart } from './binlog-spool.js';
import type { ReadBytes } from './prove-takeover.js';

/** The most that one chunk carries. */
export const CHUNK_BYTES = 16 * 1024 * 1024;
/** At most this much of a file is taken in at once. */
const READ_BYTES = 1024 * 1024;

/**
 * Reads what the receiver writes, file by file. A chunk ends at the end of a transaction, or of an event between two; a longer transaction
 * is cut at 16 MiB, at an event's end where there is one. Positions name the transactions that are complete up to there. A file that its
 * server left by a crash ends without a chunk that says so when its last byte was handed out before.
 */
export class BinlogReader {
  private readonly kind: Brand['kind'];
  private readonly spool: BinlogSpool;
  private name: string;
  /** Handed out up to here. */
  private offset = 0;
  /** Looked at up to here; the bytes between both are in `pending`. */
  private scanned = 0;
  private pending: Buffer[] = [];
  private found: BinlogTransaction[] = [];
  private scanner: BinlogScanner;
  /** Of the bytes before `scanned`. */
  private hash = createHash('sha256');
  /** Of the stored bytes before the cursor, until they were compared with what the source sent again. */
  private expected: { readonly offset: number; readonly sha256: string } | null = null;
  private gtids: GtidSet | GtidPosition | null = null;
  /**
   * What was stored of a former server, until this one's log has come to its end: it begins before, and up to there nothing that it repeats is all
   * that there is. Whoever took its beginning for the end of the stored log would let the next successor lack the rest.
   */
  private former: string | null;
  /** What this server's log has to begin with, because it was proven with that. */
  private proven: ReadBytes = new Map();
  private reached: LogPosition;
  /** Whose copy was compared; null before. */
  private run: number | null = null;

  constructor(
    kind: Brand['kind'],
    spool: BinlogSpool,
    start:
      | { readonly file: string; readonly stored?: LogPosition }
      | Pick<NonNullable<LogFollowerOptions['resume']>, 'cursor' | 'position' | 'prefixSha256'>,
  ) {
    this.kind = kind;
    this.spool = spool;
    if ('cursor' in start) {
      this.name = start.cursor.file;
      this.expected = { offset: start.cursor.offset, sha256: start.prefixSha256 };
      this.reached = start.position;
    } else {
      this.name = start.file;
      this.reached = start.stored ?? { file: start.file, filePosition: '0' };
    }
    this.former = takeoverOf(this.name) > 0 ? (this.reached.gtidSet ?? null) : null;
    this.scanner = this.newScanner();
  }

  get position(): LogPosition {
    return this.reached;
  }

  get file(): string {
    return this.name;
  }

  /** Bytes of the present file that were seen, by this reader or the one whose stored log it goes on with. */
  get seen(): number {
    return this.expected?.offset ?? Math.max(this.scanned, this.proven.get(this.name)?.bytes ?? 0);
  }

  /** Nothing else than this is handed out of these files. */
  require(proven: ReadBytes): void {
    this.proven = proven;
  }

  /** Nothing was handed out yet, and nothing is stored. */
  get isAtBeginning(): boolean {
    return this.expected === null && this.offset === 0 && this.reached.gtidSet === undefined;
  }

  /** The next bytes, or null. */
  async read(): Promise<LogChunk | null> {
    for (;;) {
      const copy = await this.choose();
      if (copy === null) return null;
      try {
        const chunk = await this.take(copy);
        if (chunk !== null) return chunk;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        throw error;
      }
      if (copy.next === null || this.scanned < copy.bytes) return null;
      this.moveTo(copy.next);
    }
  }

  /** The newest copy that holds what was seen, once its beginning proved to be the same. */
  private async choose(): Promise<SpoolCopy | null> {
    for (const copy of await this.spool.copies(this.name)) {
      if (copy.bytes < this.seen) {
        if (copy.next !== null) throw this.otherHistory(`${this.name} has only ${copy.bytes} bytes now`);
        continue;
      }
      if (copy.run === this.run) return copy;
      await this.verify(copy);
      this.run = copy.run;
      await this.spool.dropOlder(this.name, copy.run);
      return copy;
    }
    return null;
  }

  private async verify(copy: SpoolCopy): Promise<void> {
    const { expected } = this;
    const proven = this.proven.get(this.name);
    if (proven !== undefined && proven.bytes > this.scanned) {
      if ((await hashPrefix(copy.path, proven.bytes)).digest('hex') !== proven.sha256)
        throw this.otherBytes(proven.bytes);
    } else if (expected === null) {
      const hash = await hashPrefix(copy.path, this.scanned);
      if (hash.digest('hex') !== this.hash.copy().digest('hex')) throw this.otherBytes(this.scanned);
    }
    if (expected === null) return;
    // Read from the beginning: what transactions there were, and whether one is open, is told by nothing else.
    const scanner = this.newScanner();
    const before: BinlogTransaction[] = [];
    let failure: unknown = null;
    const hash = await hashPrefix(copy.path, expected.offset, (piece) => {
      try {
        if (failure === null) before.push(...scanner.push(piece));
      } catch (error) {
        failure = error;
      }
    });
    if (hash.copy().digest('hex') !== expected.sha256) throw this.otherBytes(expected.offset);
    if (failure !== null) throw this.unreadable(failure);
    this.scanner = scanner;
    this.hash = hash;
    this.scanned = expected.offset;
    this.offset = expected.offset;
    this.expected = null;
    this.noteGtids(before);
  }

  private async take(copy: SpoolCopy): Promise<LogChunk | null> {
    for (;;) {
      const cut = this.findCut(copy);
      if (cut !== null) return this.cutAt(cut, copy);
      const to = Math.min(copy.bytes, this.scanned + READ_BYTES, this.offset + CHUNK_BYTES);
      if (to <= this.scanned) return null;
      const piece = await readPart(copy.path, this.scanned, to);
      try {
        this.found.push(...this.scanner.push(piece));
      } catch (error) {
        throw this.unreadable(error);
      }
      this.hash.update(piece);
      this.pending.push(piece);
      this.scanned = to;
    }
  }

  /** Where the next chunk ends, or null when more has to be read first. */
  private findCut(copy: SpoolCopy): number | null {
    const isFull = this.scanned - this.offset >= CHUNK_BYTES;
    if (!isFull && this.scanned < copy.bytes) return null;
    const { lastCompleteEnd, lastEventEnd } = this.scanner;
    if (copy.next !== null && this.scanned === copy.bytes && this.scanned > this.offset) return this.scanned;
    if (lastCompleteEnd > this.offset) return lastCompleteEnd;
    if (!isFull) return null;
    return lastEventEnd > this.offset ? lastEventEnd : this.scanned;
  }

  private cutAt(cut: number, copy: SpoolCopy): LogChunk {
    const all = Buffer.concat(this.pending);
    const body = all.subarray(0, cut - this.offset);
    const rest = all.subarray(body.length);
    this.pending = rest.length === 0 ? [] : [rest];
    const offset = this.offset;
    const times = this.found.map((one) => one.commitTimeMicros).sort((a, b) => (a < b ? -1 : 1));
    this.noteGtids(this.found);
    this.found = [];
    const start = this.startOf(offset);
    this.offset = cut;
    this.reached = this.positionAt(cut);
    const [first, last] = [times[0], times.at(-1)];
    return {
      file: this.name,
      offset,
      body,
      endsFile:
        cut === this.scanned &&
        ((this.scanner.ended && this.scanner.lastEventEnd === cut) || (copy.next !== null && cut === copy.bytes)),
      start,
      end: this.reached,
      firstCommitAt: first === undefined ? null : fromMicros(first),
      lastCommitAt: last === undefined ? null : fromMicros(last),
    };
  }

  /** The very first chunk of an epoch starts with what its file says was executed before it. */
  private startOf(offset: number): LogPosition {
    const { previous } = this.scanner;
    const isFirst = offset === 0 && this.reached.file === this.name && this.reached.filePosition === '0';
    return isFirst && previous ? { ...this.reached, gtidSet: previous } : this.reached;
  }

  private positionAt(offset: number): LogPosition {
    const gtidSet = this.former ?? this.gtids?.toString() ?? '';
    return { ...(gtidSet === '' ? {} : { gtidSet }), file: this.name, filePosition: String(offset) };
  }

  private noteGtids(transactions: readonly BinlogTransaction[]): void {
    const { previous } = this.scanner;
    if (this.gtids === null) {
      if (previous === null) return;
      this.gtids = this.kind === 'mysql' ? GtidSet.parse(previous) : GtidPosition.parse(previous);
    }
    for (const { gtid } of transactions) this.gtids.add(gtid);
    if (this.former !== null && reaches(this.gtids, this.former)) this.former = null;
  }

  private moveTo(name: string): void {
    this.name = name;
    this.offset = 0;
    this.scanned = 0;
    this.pending = [];
    this.found = [];
    this.hash = createHash('sha256');
    this.scanner = this.newScanner();
    this.gtids = null;
    this.run = null;
  }

  private newScanner(): BinlogScanner {
    return new BinlogScanner({ kind: this.kind, file: this.name });
  }

  private otherBytes(offset: number): TidemarkError {
    return this.otherHistory(`the first ${offset} bytes of ${this.name} are other ones than those stored`);
  }

  /** The log that the server has is not the one that was followed so far. */
  otherHistory(how: string, to: LogPosition | null = null): TidemarkError {
    const from = this.reached;
    return new TidemarkError(
      'log_gap',
      `The server's binary log is not the one that is stored up to ${describePosition(from)}: ${how}. The archive cannot go on from there.`,
      { gap: { from, to } },
    );
  }

  /** A log from which nothing could be recovered: an incident, transactions without GTID. */
  private unreadable(error: unknown): TidemarkError {
    const words = error instanceof Error ? error.message : String(error);
    const cause = { cause: error };
    return this.isAtBeginning
      ? new TidemarkError('log_not_kept', `The binary log cannot be used for recovery: ${words}.`, {}, cause)
      : new TidemarkError(
          'log_gap',
          `The binary log after ${describePosition(this.reached)} cannot be used for recovery: ${words}.`,
          { gap: { from: this.reached, to: null } },
          cause,
        );
  }
}

const reaches = (reached: GtidSet | GtidPosition, position: string): boolean =>
  reached instanceof GtidSet
    ? reached.includes(GtidSet.parse(position))
    : position.split(',').every((gtid) => reached.knows(gtid));

/** `binlog.000012:345 (GTIDs …)`. */
export function describePosition(position: LogPosition): string {
  const place = positionText(position);
  return position.gtidSet === undefined ? place : `${place} (GTIDs ${position.gtidSet})`;
}
