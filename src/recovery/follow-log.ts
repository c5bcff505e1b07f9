import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../domain/errors.js';
import type { LogPosition, ServerIdentity } from '../domain/positions.js';
import type { LogChunk, LogFollower } from '../engines/log-follower.js';
import type { SliceKeys, StoredSlice } from '../storage/slice-record.js';
import { tailOf } from '../storage/slice-record.js';
import { writeLogSlice } from '../storage/write-log-slice.js';
import { bytesOf, groupNeighbours, isDue, LARGE_SLICE, mergeSlices } from './merge-slices.js';
import type { LogStore } from './resume-log.js';

/** While data flows, a slice is begun this often: a commit waits for half of it on average. */
const TICK_MS = 1_000;
/** A chunk from this size on is one of many that wait: the next follows at once. */
const BUSY_BYTES = 1024 * 1024;
/** How often the end of the source's log is asked for. */
const COVER_EVERY_MS = 5_000;
/**
 * A commit takes its time, waits for its place in the log (on PostgreSQL for one of eight locks, whose holders may be writing to a slow
 * disk), and is answered when it is written. What was answered before the clock was read is in the log whatever the margin; it is for commits
 * that had taken their time by then and not yet their place. Points that are not at the edge are safe from longer waits: a recovery reads
 * on for a minute.
 */
const COVER_MARGIN_MS = 2_000;

export type LogEnd = { readonly clock: string; readonly position: LogPosition };

export type FollowLog = {
  readonly follower: LogFollower;
  readonly store: LogStore;
  readonly keys: SliceKeys;
  readonly installationId: string;
  readonly chainId: string;
  /** The newest slice that is stored; null at the beginning of an epoch. */
  readonly last: StoredSlice | null;
  /** Highest number that is taken behind `last` by something damaged: the next slice stands for all up to there, and one more. */
  readonly taken: number;
  /** Small slices that are stored, in order: neighbours among them are put together. */
  readonly small: readonly StoredSlice[];
  /** Asked every few seconds; a failure only means that what is covered is not known just now. */
  readonly readEnd: () => Promise<LogEnd>;
  readonly comparePositions: (a: LogPosition, b: LogPosition) => number;
  /** Throws `fenced` when another follower has taken over. */
  readonly assertMayPublish: () => Promise<void>;
  /** A slice is durable in the store. Nothing is acknowledged to the source before this has resolved. */
  readonly onDurable: (slice: StoredSlice) => Promise<void>;
  /** Everything committed before this (source's clock) is durable. */
  readonly onCovered: (time: string) => Promise<void>;
  /** After each look at the receiver. */
  readonly onState: (state: ReturnType<LogFollower['state']>) => Promise<void>;
  /** What does not stop the following. */
  readonly onTrouble: (what: string, error: unknown) => void;
};

/**
 * Follows a server's log into the store until the signal aborts: receive, store, note, and only then acknowledge. Throws what the follower
 * or the store throws, `log_gap` for a log that does not go on where the store ends, `fenced` when another one has taken over. While more
 * waits than a chunk, the next one is read, compressed and sent beside it; its record is written after its predecessor's. Memory is bounded by
 * two chunks and one merge.
 */
export async function followLog(options: FollowLog): Promise<void> {
  const { follower, store } = options;
  const { signal } = store;
  const writer = new SliceWriter(options);
  const coverage = new Coverage(options);
  let unsettled: { readonly chunk: LogChunk; readonly written: Promise<void> } | null = null;
  const settle = async () => {
    const first = unsettled;
    unsettled = null;
    if (first === null) return;
    await first.written;
    await follower.acknowledge(first.chunk);
  };
  try {
    for (;;) {
      signal.throwIfAborted();
      coverage.ask(writer.position);
      const began = Date.now();
      const waitMs: number = unsettled === null ? TICK_MS : 0;
      const chunk: LogChunk | null = await follower.next({ waitMs, signal }).catch(async (error: unknown) => {
        // What came before the log's end is stored first.
        await settle();
        throw error;
      });
      const written = chunk === null ? null : writer.write(chunk, () => coverage.timeAt(chunk.end));
      await settle();
      if (chunk !== null && written !== null) unsettled = { chunk, written };
      if (chunk === null || chunk.body.length < BUSY_BYTES) await settle();
      const covered = writer.position === null ? null : coverage.take(writer.position);
      if (covered !== null) await options.onCovered(covered);
      await options.onState(follower.state());
      if (chunk !== null && chunk.body.length < BUSY_BYTES) await pause(began + TICK_MS - Date.now(), signal);
    }
  } finally {
    await writer.idle();
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0) return;
  await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}

class SliceWriter {
  /** To here the log is stored. */
  position: LogPosition | null;
  private last: StoredSlice | null;
  /** What was begun last, stored or not. */
  private begun: {
    readonly seq: number;
    readonly file: string;
    readonly end: number;
    readonly endsFile: boolean;
  } | null;
  private turn: Promise<void> = Promise.resolve();
  private neighbours: StoredSlice[];
  private merging: Promise<void> = Promise.resolve();
  private readonly options: FollowLog;

  constructor(options: FollowLog) {
    this.options = options;
    this.last = options.last;
    this.position = options.last?.record.endPosition ?? null;
    this.begun = options.last === null ? null : placeOf(options.last);
    const groups = groupNeighbours(options.small);
    const open = groups.at(-1);
    const isOpen = open !== undefined && open.at(-1)?.record.seq === options.last?.record.seq && !isDue(open);
    this.neighbours = isOpen ? open : [];
    for (const group of isOpen ? groups.slice(0, -1) : groups) if (group.length > 1) this.merge(group);
  }

  /**
   * Resolves when the chunk is durable. The next one may be begun before: it is stored beside this one, and follows it. `coversTo` is asked
   * when everything before it is.
   */
  write(chunk: LogChunk, coversTo: () => string | null): Promise<void> {
    const before = this.turn;
    this.turn = this.store(chunk, coversTo, before);
    // Told to who waits for this chunk; until then it is no unhandled failure.
    this.turn.catch(() => {});
    return this.turn;
  }

  private async store(chunk: LogChunk, coversTo: () => string | null, before: Promise<void>): Promise<void> {
    const { store, keys, installationId, chainId, follower, taken } = this.options;
    this.assertGoesOn(chunk);
    const fromSeq = (this.begun?.seq ?? 0) + 1;
    const seq = taken < fromSeq ? fromSeq : taken + 1;
    this.begun = { seq, file: chunk.file, end: chunk.offset + chunk.body.length, endsFile: chunk.endsFile };
    const slice = await writeLogSlice({
      place: store.place,
      keys,
      installationId,
      slice: {
        chainId,
        fromSeq,
        seq,
        source: plainIdentity(follower.server),
        file: chunk.file,
        offset: chunk.offset,
        bytes: chunk.body.length,
        endsFile: chunk.endsFile,
        startPosition: chunk.start,
        endPosition: chunk.end,
        firstCommitAt: chunk.firstCommitAt,
        lastCommitAt: chunk.lastCommitAt,
        coversTo: null,
        previous: null,
        tail: null,
      },
      link: async () => {
        await before;
        return { previous: this.last === null ? null : tailOf(this.last), coversTo: coversTo() };
      },
      source: Readable.from([chunk.body], { objectMode: false }),
      signal: store.signal,
      assertMayPublish: this.options.assertMayPublish,
    });
    await this.options.onDurable(slice);
    this.last = slice;
    this.position = chunk.end;
    this.gather(slice);
  }

  /** Waits for what is under way, whatever becomes of it. */
  async idle(): Promise<void> {
    await this.turn.catch(() => {});
    await this.merging;
  }

  /** The follower proves what it receives; a chunk at another place than the end of the last would still be a hole. */
  private assertGoesOn(chunk: LogChunk): void {
    const { begun } = this;
    if (begun === null && chunk.offset === 0) return;
    const sameFile = begun?.file === chunk.file;
    const expected = sameFile ? begun.end : 0;
    if (chunk.offset === expected && !(sameFile && begun.endsFile)) return;
    throw new TidemarkError(
      'log_gap',
      `The log does not go on where the store ends: ${chunk.file} at byte ${chunk.offset} came after ${begun === null ? 'nothing' : `${begun.file} up to byte ${begun.end}`}.`,
      { object: chunk.file },
    );
  }

  private gather(slice: StoredSlice): void {
    const before = this.neighbours.at(-1)?.record;
    if (before !== undefined && before.file !== slice.record.file) {
      // A file that is left before its end, at a switch of the timeline, is over all the same.
      if (this.neighbours.length > 1) this.merge(this.neighbours);
      this.neighbours = [];
    }
    if (slice.record.object.bytes >= LARGE_SLICE) {
      this.neighbours = [];
      return;
    }
    this.neighbours.push(slice);
    if (!isDue(this.neighbours)) return;
    const due = this.neighbours;
    this.neighbours = [];
    // One that stays small is a neighbour of what follows, unless the file is over.
    const goesOn = !slice.record.endsFile && bytesOf(due) < LARGE_SLICE;
    this.merge(due, goesOn ? (merged) => this.neighbours.unshift(merged) : undefined);
  }

  /** In the background, one after the other: commits must not wait for it, and a failure is made up for by the next follower. */
  private merge(slices: readonly StoredSlice[], then?: (merged: StoredSlice) => void): void {
    const { store, keys, assertMayPublish, onDurable, onTrouble } = this.options;
    this.merging = this.merging.then(async () => {
      if (store.signal.aborted) return;
      try {
        const merged = await mergeSlices({ store, keys, slices, assertMayPublish });
        await onDurable(merged);
        // Meanwhile the file may have ended.
        const next = this.neighbours[0]?.record.fromSeq ?? (this.last?.record.seq ?? 0) + 1;
        if (then !== undefined && next === merged.record.seq + 1) then(merged);
      } catch (error) {
        if (!store.signal.aborted) onTrouble('merging log slices', error);
      }
    });
  }
}

const placeOf = ({ record }: StoredSlice) => ({
  seq: record.seq,
  file: record.file,
  end: record.offset + record.object.bytes,
  endsFile: record.endsFile,
});

const plainIdentity = ({ engine, identity, version, major }: ServerIdentity): ServerIdentity => ({
  engine,
  identity,
  version,
  major,
});

/** Up to which time everything is stored: the source's clock, read together with the end of its log, once the store has that end. */
class Coverage {
  /** Told by the source, and not stored yet. */
  private end: LogEnd | null = null;
  /** The last one that is. */
  private reached: LogEnd | null = null;
  private asking = false;
  private askedAt = 0;
  private readonly options: FollowLog;

  constructor(options: FollowLog) {
    this.options = options;
  }

  /** Asks when it is time and nothing is pending; does not wait for the answer. `stored`: the end of the store at this moment. */
  ask(stored: LogPosition | null): void {
    if (this.asking || this.end !== null || Date.now() - this.askedAt < COVER_EVERY_MS) return;
    this.asking = true;
    this.askedAt = Date.now();
    this.options
      .readEnd()
      .then(
        (end) => {
          // A log that was begun anew ends early: what is stored would seem to reach it, over everything that was written in it.
          if (stored !== null && this.options.follower.wentBack?.(end.position, stored) === true) return;
          this.end = end;
        },
        (error: unknown) => this.options.onTrouble('asking for the end of the log', error),
      )
      .finally(() => {
        this.asking = false;
      });
  }

  /**
   * What a slice that ends there covers, or null. Also what was known before: the store alone has to tell how far it reaches, and most slices of a
   * quiet source are not stored in the moment in which it was asked.
   */
  timeAt(position: LogPosition): string | null {
    const known = this.isAt(position) ? this.end : this.reached;
    return known === null ? null : new Date(Date.parse(known.clock) - COVER_MARGIN_MS).toISOString();
  }

  /** As `timeAt`, once per answer. */
  take(position: LogPosition): string | null {
    if (!this.isAt(position)) return null;
    this.reached = this.end;
    this.end = null;
    return this.timeAt(position);
  }

  private isAt(position: LogPosition): boolean {
    return this.end !== null && this.options.comparePositions(position, this.end.position) >= 0;
  }
}
