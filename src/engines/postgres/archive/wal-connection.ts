import type pg from 'pg';
import { TidemarkError } from '../../../domain/errors.js';
import type { DatabaseConnection } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { formatLsn, parseLsn } from './wal-names.js';

/** Over a connection that was cut in the middle no answer ever comes: this long is waited for a sign, in milliseconds. */
const SILENCE_MS = 20_000;
const CLOSE_LIMIT_MS = 2_000;
/** More than this is not taken from the connection before it is written: memory stays flat. */
const WAITING_BYTES = 4 * 1024 * 1024;

/** Where a server's log ends, or goes on: a timeline and an LSN on it. */
export type WalPlace = { readonly timeline: number; readonly lsn: bigint };

/** What node-pg's connection has beside what its types tell. */
type Wire = {
  readonly stream: { pause(): void; resume(): void };
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  on(event: 'copyDone', listener: () => void): void;
  off(event: 'copyDone', listener: () => void): void;
};

/** A connection of the replication protocol: asks where the log ends, and has parts of it sent. */
export class WalConnection {
  private readonly session: Session;
  private readonly wire: Wire;
  private readonly broken: AbortController;

  private constructor(session: Session, broken: AbortController) {
    this.session = session;
    this.wire = (session.client as unknown as { connection: Wire }).connection;
    this.broken = broken;
  }

  /** `signal` breaks it. */
  static async open(connection: DatabaseConnection, signal: AbortSignal): Promise<WalConnection> {
    const broken = new AbortController();
    const session = await connect(connection, {
      signal: AbortSignal.any([signal, broken.signal]),
      applicationName: 'tidemark archive',
      replication: true,
    });
    return new WalConnection(session, broken);
  }

  /** Where the server's log ends: what a primary has flushed, what a standby has received or replayed. */
  async readEnd(): Promise<WalPlace> {
    const [row] = await this.orSilent((sign) => this.session.rows('IDENTIFY_SYSTEM').finally(sign));
    return { timeline: Number(row?.timeline ?? 1), lsn: parseLsn(row?.xlogpos ?? '0/0') };
  }

  /** The content of a timeline's history file. */
  async readHistory(timeline: number): Promise<string> {
    const [row] = await this.orSilent((sign) => this.session.rows(`TIMELINE_HISTORY ${timeline}`).finally(sign));
    return row?.content ?? '';
  }

  /**
   * Has the log sent from `from` until at least `until` has come, and hands it to `write` piece by piece; resolves when all of it is written.
   * `until` null: a timeline that the server has left is sent to its end; resolves to where it goes on then. A refusal rejects with the
   * server's words.
   */
  async receive(
    from: WalPlace,
    until: bigint | null,
    write: (lsn: bigint, bytes: Buffer) => Promise<void>,
  ): Promise<WalPlace | null> {
    const { wire } = this;
    let written = Promise.resolve();
    let failure: unknown = null;
    let waiting = 0;
    let reached = from.lsn;
    let isDone = false;
    const finish = () => {
      if (!isDone) wire.endCopyFrom();
      isDone = true;
    };
    const take = (lsn: bigint, bytes: Buffer) => {
      reached = lsn + BigInt(bytes.length);
      waiting += bytes.length;
      if (waiting > WAITING_BYTES) wire.stream.pause();
      written = written.then(async () => {
        try {
          if (failure === null) await write(lsn, bytes);
        } catch (error) {
          failure = error;
          finish();
        }
        waiting -= bytes.length;
        if (waiting <= WAITING_BYTES) wire.stream.resume();
      });
      if (until !== null && reached >= until) finish();
    };
    // The server ends what it sends of a timeline that it has left, and waits to hear the same.
    wire.on('copyDone', finish);
    try {
      const row = await this.orSilent(
        (sign) =>
          new Promise<readonly (string | null)[] | null>((resolve, reject) => {
            const text = `START_REPLICATION PHYSICAL ${formatLsn(from.lsn)} TIMELINE ${from.timeline}`;
            this.session.client.query(
              walStream(text, {
                onData: (chunk) => {
                  sign();
                  const tag = chunk[0];
                  // The parser uses its memory again.
                  if (tag === 0x77) take(chunk.readBigUInt64BE(1), Buffer.from(chunk.subarray(25)));
                  else if (tag === 0x6b && chunk[17] === 1) wire.sendCopyFromChunk(statusUpdate(reached));
                },
                resolve,
                reject,
              }),
            );
          }),
        () => waiting > WAITING_BYTES,
      );
      await written;
      if (failure !== null) throw failure;
      const [timeline, lsn] = row ?? [];
      return timeline == null || lsn == null ? null : { timeline: Number(timeline), lsn: parseLsn(lsn) };
    } finally {
      wire.off('copyDone', finish);
      await written;
    }
  }

  /** In order where that is possible: the server would write of a connection that just breaks into its log. */
  async close(): Promise<void> {
    const late = setTimeout(() => this.broken.abort(), CLOSE_LIMIT_MS);
    await this.session.close().finally(() => clearTimeout(late));
  }

  /** Breaks the connection when no sign comes for too long, other than for want of taking one. */
  private async orSilent<T>(ask: (sign: () => void) => Promise<T>, isBusy = () => false): Promise<T> {
    let heard = Date.now();
    let isSilent = false;
    const watch = setInterval(() => {
      if (isBusy()) heard = Date.now();
      if (Date.now() - heard < SILENCE_MS) return;
      isSilent = true;
      this.broken.abort();
    }, 1_000);
    try {
      return await ask(() => {
        heard = Date.now();
      });
    } catch (error) {
      if (!isSilent) throw error;
      throw new TidemarkError('connection_lost', `The server gave no sign within ${SILENCE_MS / 1000} s.`);
    } finally {
      clearInterval(watch);
    }
  }
}

/** A command after which both sides send data; the row with which the server may end it. */
function walStream(
  text: string,
  to: {
    onData(chunk: Buffer): void;
    resolve(row: readonly (string | null)[] | null): void;
    reject(error: Error): void;
  },
): pg.Submittable {
  let row: readonly (string | null)[] | null = null;
  const stream = {
    submit: (wire: unknown) => (wire as Wire).query(text),
    handleCopyData: ({ chunk }: { chunk: Buffer }) => to.onData(chunk),
    handleRowDescription: () => {},
    handleDataRow: ({ fields }: { fields: readonly (string | null)[] }) => {
      row = fields;
    },
    handleCommandComplete: () => {},
    handleError: (error: Error) => to.reject(error),
    handleReadyForQuery: () => to.resolve(row),
  };
  return stream;
}

/**
 * What a receiver answers a server that asks whether it is still there. Nothing is called flushed: a server with `synchronous_standby_names`
 * takes only one that flushes for a standby its commits may wait for.
 */
function statusUpdate(reached: bigint): Buffer {
  const message = Buffer.alloc(34);
  message.writeUInt8(0x72, 0);
  message.writeBigUInt64BE(reached, 1);
  return message;
}
