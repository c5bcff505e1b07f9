import { createHash } from 'node:crypto';
import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition } from '../../../domain/positions.js';
import type { LogChunk, LogFollowerOptions } from '../../log-follower.js';
import type { Spool, SpoolListing } from './spool.js';
import type { Segment } from './wal-names.js';
import {
  formatLsn,
  historyName,
  parseHistoryName,
  parseLsn,
  parseSegmentName,
  segmentOf,
  segmentStart,
} from './wal-names.js';

/** The most that one chunk carries. */
export const CHUNK_BYTES = 16 * 1024 * 1024;

/** Up to where the receiver has written, and which start of it. */
export type Received = { readonly timeline: number; readonly lsn: bigint; readonly generation: number };

/**
 * Reads what the receiver writes, in the order in which it arrives: segments of one timeline; at a switch the rest of the segment in which
 * it was left, the new timeline's history, and that segment once more from its beginning, as the new timeline has it (recovery takes it
 * from there). Positions never go back: in the repeated part they stay at the switch, so that a chunk always starts where the one before
 * it ended.
 */
export class WalReader {
  private readonly spool: Spool;
  /** A history file has the timeline it belongs to; its segment is the first of that timeline. */
  private at: { readonly kind: 'segment' | 'history'; readonly segment: Segment };
  private offset: number;
  private reached: { readonly timeline: number; readonly lsn: bigint };
  /** Of the bytes before `offset`. */
  private prefix = createHash('sha256');
  /** What the bytes before `offset` must hash to before any later one is handed out; null once they did. */
  private expected: string | null = null;
  private generation = 0;

  constructor(
    spool: Spool,
    start: { readonly timeline: number; readonly lsn: bigint } | NonNullable<LogFollowerOptions['resume']>,
  ) {
    this.spool = spool;
    if ('cursor' in start) {
      const { timeline = 1, lsn = '0/0' } = start.position;
      this.reached = { timeline, lsn: parseLsn(lsn) };
      this.offset = start.cursor.offset;
      this.expected = start.prefixSha256;
      const segment = parseSegmentName(start.cursor.file, spool.segmentBytes);
      const history = parseHistoryName(start.cursor.file);
      if (segment !== null) {
        this.at = { kind: 'segment', segment };
        if (this.offset >= spool.segmentBytes) this.moveTo({ ...segment, number: segment.number + 1n });
      } else if (history !== null) {
        this.at = { kind: 'segment', segment: segmentOf(history, this.reached.lsn, spool.segmentBytes) };
        this.moveTo(this.at.segment);
      } else throw new Error(`not a file of PostgreSQL's log: ${JSON.stringify(start.cursor.file)}`);
      return;
    }
    const segment = segmentOf(start.timeline, start.lsn, spool.segmentBytes);
    this.reached = { timeline: start.timeline, lsn: segmentStart(segment, spool.segmentBytes) };
    this.offset = 0;
    // Recovery on a later timeline than the first needs to know where that one came from.
    this.at = { kind: start.timeline > 1 ? 'history' : 'segment', segment };
  }

  get position(): LogPosition {
    return { timeline: this.reached.timeline, lsn: formatLsn(this.reached.lsn) };
  }

  get reachedLsn(): bigint {
    return this.reached.lsn;
  }

  get timeline(): number {
    return this.at.segment.timeline;
  }

  /** The segment that is read or will be read next. */
  get segment(): Segment {
    return this.at.segment;
  }

  /**
   * The next bytes, or null. Only up to `received` the partial file holds what it should. `isOver`: nothing more will come, and what is there
   * is read without looking at it again.
   */
  async read(received: Received | null, isOver: boolean): Promise<LogChunk | null> {
    if (received !== null && !isOver && received.generation !== this.generation) {
      // The segment is written anew from its beginning: it must be the same once more.
      this.expected ??= this.prefix.copy().digest('hex');
      this.generation = received.generation;
    }
    for (;;) {
      const listing = await this.spool.list();
      if (this.at.kind === 'history') return this.readHistory();
      const { segment } = this.at;
      const left = listing.findSwitch(segment.timeline);
      const from = segmentStart(segment, this.spool.segmentBytes);
      if (listing.has(segment, false)) {
        await this.verify(this.spool.name(segment, false), this.spool.segmentBytes);
        return this.take(this.spool.name(segment, false), this.spool.segmentBytes, this.spool.segmentBytes);
      }
      if (left !== null) {
        const end = Number(left.lsn - from);
        if (end < this.offset)
          throw this.otherHistory(`its timeline ${segment.timeline} ends at ${formatLsn(left.lsn)}`);
        if (end > this.spool.segmentBytes) return null;
        if (end > 0) {
          if (!listing.has(segment, true)) return null;
          await this.verify(this.spool.name(segment, true), end);
          if (end > this.offset) return this.take(this.spool.name(segment, true), end, end);
        }
        this.at = { kind: 'history', segment: segmentOf(left.timeline, left.lsn, this.spool.segmentBytes) };
        continue;
      }
      return received?.timeline === segment.timeline ? this.readPartial(listing, from, received.lsn) : null;
    }
  }

  private async readPartial(listing: SpoolListing, from: bigint, known: bigint): Promise<LogChunk | null> {
    const { segment } = this.at;
    if (!listing.has(segment, true)) return null;
    const end = Number(known - from);
    // Beyond its end: the file is being renamed at this moment.
    if (end > this.spool.segmentBytes || end < this.offset) return null;
    // What a new timeline repeats of a segment is handed out together with something new: a part of it would claim the position of the whole.
    if (from + BigInt(this.offset) < this.reached.lsn && known <= this.reached.lsn) return null;
    const name = this.spool.name(segment, true);
    try {
      await this.verify(name, end);
      return end > this.offset ? await this.take(name, end, this.spool.segmentBytes) : null;
    } catch (error) {
      // Renamed since it was listed, because it is whole now.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** Compares the bytes that are stored already with what the source sent again. */
  private async verify(name: string, available: number): Promise<void> {
    if (this.expected === null || available < this.offset) return;
    const hash = await this.spool.hashPrefix(name, this.offset);
    if (hash.copy().digest('hex') !== this.expected)
      throw this.otherHistory(
        `the first ${this.offset} bytes of ${name.slice(0, 24)} are other ones than those stored`,
      );
    this.prefix = hash;
    this.expected = null;
  }

  private async take(name: string, available: number, fileEnds: number): Promise<LogChunk> {
    const { segment } = this.at;
    const to = Math.min(available, this.offset + CHUNK_BYTES);
    const body = await this.spool.read(name, this.offset, to);
    this.prefix.update(body);
    const lsn = segmentStart(segment, this.spool.segmentBytes) + BigInt(to);
    const chunk = this.chunk(this.spool.name(segment, false), body, to === fileEnds, {
      timeline: segment.timeline,
      lsn: lsn > this.reached.lsn ? lsn : this.reached.lsn,
    });
    if (to === this.spool.segmentBytes) this.moveTo({ ...segment, number: segment.number + 1n });
    else this.offset = to;
    return chunk;
  }

  private readHistory(): LogChunk | null {
    const { segment } = this.at;
    const body = this.spool.readHistory(segment.timeline);
    if (body === null) return null;
    this.offset = 0;
    const chunk = this.chunk(historyName(segment.timeline), body, true, {
      timeline: segment.timeline,
      lsn: this.reached.lsn,
    });
    this.moveTo(segment);
    return chunk;
  }

  private chunk(
    file: string,
    body: Buffer,
    endsFile: boolean,
    end: { readonly timeline: number; readonly lsn: bigint },
  ): LogChunk {
    const start = this.position;
    this.reached = end;
    return {
      file,
      offset: this.offset,
      body,
      endsFile,
      start,
      end: this.position,
      firstCommitAt: null,
      lastCommitAt: null,
    };
  }

  private moveTo(segment: Segment): void {
    this.at = { kind: 'segment', segment };
    this.offset = 0;
    this.prefix = createHash('sha256');
    this.expected = null;
  }

  private otherHistory(how: string): TidemarkError {
    const from = this.position;
    return new TidemarkError(
      'log_gap',
      `The server's log is not the one that is stored up to ${from.lsn} on timeline ${from.timeline}: ${how}. The archive cannot go on from there.`,
      { gap: { from, to: null } },
    );
  }
}
