import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../../../domain/errors.js';
import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { LogChunk, LogFollower, LogFollowerOptions } from '../../log-follower.js';
import type { Interruption } from '../../shared/log-receiver.js';
import { LogReceiver } from '../../shared/log-receiver.js';
import { SourceControl } from '../../shared/source-control.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { quoteText } from '../quote.js';
import { findFullSpool, interruptionIn, receiveWal } from './receive-wal.js';
import { recogniseServer } from './recognise-server.js';
import { ensureHoldingSlot, readSlot } from './slots.js';
import type { Spool } from './spool.js';
import { fetchHistory, readTimeline } from './timeline.js';
import { findSwitchPoint, formatLsn, parseLsn, parseSegmentName } from './wal-names.js';
import type { Received, WalReader } from './wal-reader.js';

const LOOK_MS = 100;
/** The source's slot is moved at most this often: each move writes to its disk at the next checkpoint. */
const ADVANCE_MS = 1_000;
/** Without a sign of the receiver for this long it does not count as connected. */
const SEEN_MS = 15_000;
const CLOSE_LIMIT_MS = 5_000;

type Parts = {
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly spool: Spool;
  readonly reader: WalReader;
  readonly server: ServerIdentity;
  readonly options: LogFollowerOptions;
};

/** A running archive of one server's WAL: the receiver, the reader behind it, and the slots. */
export class WalFollower implements LogFollower {
  readonly server: ServerIdentity;
  private readonly parts: Parts;
  private readonly control: SourceControl<Session>;
  private readonly receiver: LogReceiver;
  private failed: TidemarkError | null = null;
  private interrupted: ((reached: LogPosition) => TidemarkError) | null = null;
  private received: Received | null = null;
  /** The most that any run of the receiver has written: a later one begins its segment anew, over the same bytes. */
  private furthest: Received | null = null;
  private seenAt = 0;
  private trouble: string | null = null;
  private durable = 0n;
  private advanced = 0n;
  private advancedAt = 0;
  private advancing: NodeJS.Timeout | null = null;
  private closed = false;

  constructor(parts: Parts) {
    const { connection, context, spool, options } = parts;
    this.parts = parts;
    this.server = parts.server;
    this.control = new SourceControl({
      open: (signal) => connect(connection, { signal, applicationName: 'tidemark archive' }),
      toError: (error, doing) => mapQueryError(error, connection, doing, 'internal'),
    });
    this.receiver = new LogReceiver({
      signal: context.signal,
      launch: () => this.launch(),
      findFull: (wasFull) => findFullSpool(spool, options.spoolLimitBytes, wasFull),
      lastError: (words) => words || 'no further message',
      interruptionIn,
      beforeStart: () => this.control.ask('Preparing to receive the log', (session) => this.makeReady(session)),
      onInterrupted: (how, words) => this.interrupt(how, words),
      onFailed: (error) => {
        this.failed = error;
      },
    });
  }

  start(): void {
    this.receiver.start();
  }

  private async launch() {
    const { connection, context, spool } = this.parts;
    const generation = this.receiver.generation + 1;
    const child = await receiveWal({
      connection,
      context,
      spool,
      onReceived: (place) => this.note({ ...place, generation }),
      onSeen: () => {
        this.seenAt = Date.now();
      },
    });
    return { child, cleanUp: async () => {} };
  }

  async next(options: { readonly waitMs: number; readonly signal: AbortSignal }): Promise<LogChunk | null> {
    const end = Date.now() + options.waitMs;
    for (;;) {
      if (this.closed || options.signal.aborted || this.parts.context.signal.aborted)
        throw new TidemarkError('cancelled', 'The log is not followed any more.');
      if (this.failed) throw this.failed;
      // Before the read: a receiver that is interrupted meanwhile may have written a segment that this read did not see.
      const { interrupted } = this;
      const chunk = await this.read();
      if (chunk) return chunk;
      if (interrupted) throw interrupted(this.parts.reader.position);
      const rest = end - Date.now();
      if (rest <= 0) return null;
      await sleep(Math.min(LOOK_MS, rest), undefined, { signal: options.signal }).catch(() => {});
    }
  }

  private note(place: Received): void {
    const { furthest } = this;
    this.received = place;
    const isFurther =
      furthest === null ||
      place.timeline > furthest.timeline ||
      (place.timeline === furthest.timeline && place.lsn > furthest.lsn);
    if (isFurther) this.furthest = place;
  }

  private async read(): Promise<LogChunk | null> {
    const isOver = this.interrupted !== null;
    try {
      return await this.parts.reader.read(isOver ? this.furthest : this.received, isOver);
    } catch (error) {
      if (isTidemarkError(error)) this.failed = error;
      throw error;
    }
  }

  async acknowledge(chunk: LogChunk): Promise<void> {
    if (this.failed && this.failed.code !== 'log_gap') throw this.failed;
    const lsn = parseLsn(chunk.end.lsn ?? '0/0');
    if (lsn > this.durable) this.durable = lsn;
    const segment = parseSegmentName(chunk.file, this.parts.spool.segmentBytes);
    if (segment) await this.parts.spool.prune(segment, chunk.endsFile);
    const rest = this.advancedAt + ADVANCE_MS - Date.now();
    if (rest <= 0) await this.advance();
    else this.advanceIn(rest);
  }

  private advanceIn(ms: number): void {
    if (this.advancing || this.closed) return;
    this.advancing = setTimeout(() => {
      this.advancing = null;
      void this.advance();
    }, ms);
    this.advancing.unref();
  }

  /** Lets the source forget what is durable. A failure is no reason to stop: the slot holds more than it must, until the next try. */
  private async advance(): Promise<void> {
    if (this.durable <= this.advanced) return;
    this.advancedAt = Date.now();
    const to = this.durable;
    try {
      await this.control.ask('Moving the replication slot', (session) => this.advanceSlot(session, to));
      this.advanced = to;
      this.trouble = null;
    } catch (error) {
      // Nobody wants this archive any more, or another one follows for it.
      if (isTidemarkError(error) && error.code === 'fenced') this.failed = error;
      this.trouble = isTidemarkError(error) ? error.message : 'The replication slot could not be moved.';
      this.advanceIn(2 * ADVANCE_MS);
    }
  }

  private async advanceSlot(session: Session, to: bigint): Promise<void> {
    const { slot } = this.parts.options;
    const held = await readSlot(session, slot);
    if (!held?.restartLsn || held.lost) {
      // Dropped by the server's hard limit, or by a person: nothing of what is to come may be lost as well. Whether something is missing
      // already, the receiver finds out.
      await this.parts.options.assertMayHold?.();
      await ensureHoldingSlot(session, slot);
      return;
    }
    if (parseLsn(held.restartLsn) >= to) return;
    await session.run(
      `SELECT pg_catalog.pg_replication_slot_advance(${quoteText(slot)}, ${quoteText(formatLsn(to))}::pg_lsn)`,
    );
  }

  /** Before each start of the receiver: it must be the same server, on the same history, with slots that hold. */
  private async makeReady(session: Session): Promise<void> {
    const { connection, context, options, reader, spool } = this.parts;
    await recogniseServer(session, connection, this.server);
    const timeline = await readTimeline(session, connection, context);
    const end = await session.value(
      'SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_flush_lsn() END::text',
    );
    const from = reader.position;
    // A standby may just not have got so far yet; a primary's log never becomes shorter.
    const shorter = end !== null && timeline === from.timeline && parseLsn(end) < reader.reachedLsn;
    if (timeline < reader.timeline || shorter)
      throw new TidemarkError(
        'log_gap',
        `The server's log is not the one that is stored up to ${from.lsn} on timeline ${from.timeline}: it is on timeline ${timeline}${end === null ? '' : ` and ends at ${end}`}. The archive cannot go on from there.`,
        { gap: { from, to: end === null ? null : { lsn: end, timeline } } },
      );
    await options.assertMayHold?.();
    await ensureHoldingSlot(session, options.slot);
    await spool.seed(reader.segment);
    if (timeline > reader.timeline) await this.judgeSwitch(timeline);
  }

  /** The server was promoted since: what it has of the timeline that is stored ends where it left it. */
  private async judgeSwitch(timeline: number): Promise<void> {
    const { connection, context, reader } = this.parts;
    const history = await fetchHistory(connection, context, timeline);
    const left = findSwitchPoint(history, reader.timeline);
    if (left === null || left < reader.reachedLsn) {
      const from = reader.position;
      const to = left === null ? null : { lsn: formatLsn(left), timeline };
      throw new TidemarkError(
        'log_gap',
        `The server's log is not the one that is stored up to ${from.lsn} on timeline ${from.timeline}: ${to === null ? `timeline ${timeline} does not come from it` : `timeline ${from.timeline} ended at ${to.lsn}, and the server is on timeline ${timeline}`}. The archive cannot go on from there.`,
        { gap: { from, to } },
      );
    }
  }

  private async interrupt(how: Interruption, words: string): Promise<void> {
    const { connection, context, options } = this.parts;
    const to = await this.control
      .ask('Asking from where on the source has its log', async (session) => ({
        lsn: (await ensureHoldingSlot(session, options.slot)).lsn,
        timeline: await readTimeline(session, connection, context),
      }))
      .catch(() => null);
    this.interrupted = (from) =>
      new TidemarkError(
        'log_gap',
        how === 'removed'
          ? `The server removed its log from ${from.lsn}${to === null ? '' : ` to ${to.lsn}`} (timeline ${from.timeline}) before it was stored. The server says: ${words}`
          : `The server's log is not the one that is stored up to ${from.lsn} on timeline ${from.timeline}. The server says: ${words}`,
        { gap: { from, to } },
      );
  }

  state(): ReturnType<LogFollower['state']> {
    const message = this.failed?.message ?? this.receiver.message ?? this.trouble;
    const connected = this.receiver.running && Date.now() - this.seenAt < SEEN_MS;
    const outOfSpace = !connected && this.receiver.outOfSpace;
    return { connected, message: connected ? this.trouble : (message ?? 'The receiver is connecting.'), outOfSpace };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    if (this.advancing) clearTimeout(this.advancing);
    await Promise.race([this.receiver.stop(), sleep(CLOSE_LIMIT_MS)]);
    await Promise.race([this.advance(), sleep(CLOSE_LIMIT_MS)]);
    await Promise.race([this.control.close(), sleep(CLOSE_LIMIT_MS)]);
  }
}
