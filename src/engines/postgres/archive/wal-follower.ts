import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../../../domain/errors.js';
import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { LogChunk, LogFollower, LogFollowerOptions } from '../../log-follower.js';
import type { Tools } from '../../shared/find-tools.js';
import type { Interruption } from '../../shared/log-receiver.js';
import { LogReceiver } from '../../shared/log-receiver.js';
import { SourceControl } from '../../shared/source-control.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { quoteText } from '../quote.js';
import { findFullSpool, interruptionIn, lastError, launchReceiver } from './launch-receiver.js';
import { recogniseServer } from './recognise-server.js';
import { dropSlot, ensureHoldingSlot, readSlot, receivingSlot, renewReceivingSlot } from './slots.js';
import type { Spool } from './spool.js';
import { fetchHistory, readTimeline } from './timeline.js';
import { findSwitchPoint, formatLsn, parseLsn, parseSegmentName, segmentStart, timelineAfter } from './wal-names.js';
import type { Received, WalReader } from './wal-reader.js';

const LOOK_MS = 100;
/** How often the source is asked at most and at least, in milliseconds. */
const ASK_MS = 100;
const IDLE_ASK_MS = 5_000;
/** The source's slot is moved at most this often: each move writes to its disk at the next checkpoint. */
const ADVANCE_MS = 1_000;
/** Without a sign of the receiver for this long it does not count as connected. */
const SEEN_MS = 15_000;
const CLOSE_LIMIT_MS = 5_000;

type Parts = {
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly tools: Tools;
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
  private lastReceived: bigint | null = null;
  private askedAt = 0;
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
      launch: () => launchReceiver({ ...parts, slot: options.slot }),
      findFull: (wasFull) => findFullSpool(spool, options.spoolLimitBytes, wasFull),
      lastError,
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

  async next(options: { readonly waitMs: number; readonly signal: AbortSignal }): Promise<LogChunk | null> {
    const end = Date.now() + options.waitMs;
    for (;;) {
      if (this.closed || options.signal.aborted || this.parts.context.signal.aborted)
        throw new TidemarkError('cancelled', 'The log is not followed any more.');
      if (this.failed) throw this.failed;
      // Before the read: a receiver that is interrupted meanwhile may have written a segment that this read did not see.
      const { interrupted } = this;
      if (!interrupted) await this.askReceived();
      const chunk = await this.read();
      if (chunk) return chunk;
      if (interrupted) throw interrupted(this.parts.reader.position);
      const rest = end - Date.now();
      if (rest <= 0) return null;
      await sleep(Math.min(LOOK_MS, rest), undefined, { signal: options.signal }).catch(() => {});
    }
  }

  private async read(): Promise<LogChunk | null> {
    try {
      return await this.parts.reader.read(this.interrupted ? null : this.received, this.lastReceived);
    } catch (error) {
      if (isTidemarkError(error)) this.failed = error;
      throw error;
    }
  }

  /** Asks up to where the receiver has written; when nothing was written since, only now and then. */
  private async askReceived(): Promise<void> {
    const now = Date.now();
    const wait = (await this.wroteSince(this.askedAt - 1_000)) ? ASK_MS : IDLE_ASK_MS;
    if (!this.receiver.running || now - this.askedAt < wait) return;
    const { generation } = this.receiver;
    this.askedAt = now;
    try {
      const slot = receivingSlot(this.parts.options.slot);
      const state = await this.control.ask('Asking for the state of the receiver', (session) =>
        readSlot(session, slot),
      );
      this.trouble = null;
      // A start in between made the slot anew: the answer may be of the run before.
      if (generation !== this.receiver.generation) return;
      if (state?.activePid != null) this.seenAt = Date.now();
      if (state?.restartLsn == null) return;
      const lsn = parseLsn(state.restartLsn);
      this.received = { lsn, generation };
      this.lastReceived = this.lastReceived !== null && this.lastReceived > lsn ? this.lastReceived : lsn;
    } catch (error) {
      this.trouble = isTidemarkError(error) ? error.message : 'The source could not be asked.';
    }
  }

  private async wroteSince(time: number): Promise<boolean> {
    const lastWrite = await this.parts.reader.lastWrite();
    return lastWrite === null || lastWrite > time;
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
    } catch (error) {
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
    await renewReceivingSlot(session, options.slot);
    await spool.emptyUnfinished();
    await spool.seed(reader.segment);
    if (timeline > reader.timeline) await this.followSwitch(timeline);
  }

  /** The server was promoted since: what it has of the timeline that is stored ends where it left it. */
  private async followSwitch(timeline: number): Promise<void> {
    const { connection, context, reader, spool } = this.parts;
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
    // Asked for a timeline from exactly its end on, the server sends nothing, which pg_receivewal takes for a failure, for ever.
    const next = await spool.receivesFrom();
    const end = next === null ? null : findSwitchPoint(history, next.timeline);
    if (next === null || end === null || end !== segmentStart(next, spool.segmentBytes)) return;
    const later = timelineAfter(history, next.timeline, timeline);
    await spool.switchTo(
      { timeline: later, number: next.number },
      later === timeline ? history : await fetchHistory(connection, context, later),
    );
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
    const tidy = async () => {
      await this.advance();
      // It holds nothing that the other one does not; but it is one less to be found.
      await this.control
        .ask('Dropping the receiving slot', (session) => dropSlot(session, receivingSlot(this.parts.options.slot)))
        .catch(() => {});
    };
    await Promise.race([tidy(), sleep(CLOSE_LIMIT_MS)]);
    await Promise.race([this.control.close(), sleep(CLOSE_LIMIT_MS)]);
  }
}
