import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Interruption, RunningReceiver } from '../../shared/log-receiver.js';
import type { Spool } from './spool.js';
import type { WalPlace } from './wal-connection.js';
import { WalConnection } from './wal-connection.js';
import { segmentOf, segmentStart } from './wal-names.js';
import { WalWriter } from './wal-writer.js';

/** How often the server is asked for what is new: while something is, and at least, in milliseconds. */
const LOOK_MS = 250;
const IDLE_LOOK_MS = 1_000;
/** After so much there is probably more. */
const BUSY_BYTES = 1024 * 1024;
/** How long the server may take to end what it sends; then the connection is broken, over which it may not hear that. */
const END_WAIT_MS = 1_000;

export type ReceiveWal = {
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly spool: Spool;
  /** All up to here is in the spool, written by this run. */
  readonly onReceived: (place: WalPlace) => void;
  /** The server answered. */
  readonly onSeen: () => void;
};

/**
 * Fills the spool from the highest segment in it on, until it is ended or something fails. In turns: the server is asked where its log ends,
 * sends all up to there in one go, and is left alone until the next look. A sender that follows all the time, as those of `pg_receivewal`
 * and of standbys do, is woken by every commit of the server, which costs a busy one up to a third of what it can do (docs/decisions/0019).
 */
export async function receiveWal(options: ReceiveWal): Promise<RunningReceiver> {
  const { connection, context, spool } = options;
  const ending = new AbortController();
  const signal = AbortSignal.any([context.signal, ending.signal]);
  const breaking = new AbortController();
  const wal = await WalConnection.open(connection, breaking.signal);
  const writer = new WalWriter(spool);
  const work = async () => {
    try {
      await receiveTurns(options, wal, writer, signal);
      return '';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      await writer.close().catch(() => {});
      await wal.close();
    }
  };
  const exited = work().then((stderr) => ({ code: null, signal: null, stderr }));
  return {
    exited,
    kill: async () => {
      ending.abort();
      const limit = setTimeout(() => breaking.abort(), END_WAIT_MS);
      await exited.finally(() => clearTimeout(limit));
    },
  };
}

async function receiveTurns(
  { spool, onReceived, onSeen }: ReceiveWal,
  wal: WalConnection,
  writer: WalWriter,
  signal: AbortSignal,
): Promise<void> {
  const first = await spool.receivesFrom();
  if (first === null) throw new Error('the spool does not say where to begin');
  let at: WalPlace = { timeline: first.timeline, lsn: segmentStart(first, spool.segmentBytes) };
  if (at.timeline > 1 && !(await spool.hasHistory(at.timeline)))
    await spool.writeHistory(at.timeline, await wal.readHistory(at.timeline));
  let wait = LOOK_MS;
  while (!signal.aborted) {
    const end = await wal.readEnd();
    onSeen();
    const isLeft = end.timeline !== at.timeline;
    const from = at;
    if (isLeft || end.lsn > at.lsn) {
      const next = await wal.receive(at, isLeft ? null : end.lsn, async (lsn, bytes) => {
        signal.throwIfAborted();
        await writer.write(from.timeline, lsn, bytes);
        at = { timeline: from.timeline, lsn: lsn + BigInt(bytes.length) };
        onReceived(at);
        onSeen();
      });
      if (next !== null) {
        // A new timeline begins with the segment in which the former one was left, as the server has it now.
        const segment = segmentOf(next.timeline, next.lsn, spool.segmentBytes);
        await spool.switchTo(segment, await wal.readHistory(next.timeline));
        at = { timeline: next.timeline, lsn: segmentStart(segment, spool.segmentBytes) };
      }
    }
    const isNew = from.timeline !== at.timeline || from.lsn !== at.lsn;
    if (from.timeline !== at.timeline || at.lsn - from.lsn > BUSY_BYTES) continue;
    wait = isNew ? LOOK_MS : Math.min(2 * wait, IDLE_LOOK_MS);
    await sleep(wait, undefined, { signal }).catch(() => {});
  }
}

/** Full with room for what arrives until the next look; room again when a part of it was shipped, not at each single segment. */
export async function findFullSpool(spool: Spool, limitBytes: number, wasFull: boolean): Promise<string | null> {
  const { bytes } = await spool.list();
  const least = 2 * spool.segmentBytes;
  const stopAt = Math.max(least, limitBytes - Math.max(4 * spool.segmentBytes, limitBytes / 4));
  return bytes > (wasFull ? Math.max(least, stopAt / 2) : stopAt)
    ? `The spool holds ${bytes} of at most ${limitBytes} bytes; receiving goes on when they were stored.`
    : null;
}

/** What the server's refusal to send the log means. */
export function interruptionIn(words: string): Interruption | null {
  if (/requested WAL segment \S+ has already been removed/.test(words)) return 'removed';
  if (/is not in this server's history|timeline \d+ .*not .*history/.test(words)) return 'other_history';
  return null;
}
