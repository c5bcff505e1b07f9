import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../../../domain/errors.js';
import type { DatabaseConnection } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';

/** The longest that a question to the source may take, in milliseconds: over a connection that was cut in the middle no answer ever comes. */
const ANSWER_LIMIT_MS = 20_000;

/**
 * One session to the source that is kept open and opened again when it failed. Questions are asked one after the other; a failed or late one
 * throws a mapped error (`connection_lost`, `database_unreachable` …) and the next one connects anew.
 */
export class Control {
  private readonly connection: DatabaseConnection;
  private session: Session | null = null;
  private stop = new AbortController();
  private turn: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(connection: DatabaseConnection) {
    this.connection = connection;
  }

  ask<T>(doing: string, work: (session: Session) => Promise<T>): Promise<T> {
    const answer = this.turn.then(() => this.askNow(doing, work));
    this.turn = answer.catch(() => {});
    return answer;
  }

  private async askNow<T>(doing: string, work: (session: Session) => Promise<T>): Promise<T> {
    if (this.closed) throw new TidemarkError('cancelled', 'The log is not followed any more.');
    const limit = new AbortController();
    try {
      return await Promise.race([
        this.open().then(work),
        sleep(ANSWER_LIMIT_MS, undefined, { signal: limit.signal }).then(() => {
          throw new TidemarkError('connection_lost', `${doing}: no answer within ${ANSWER_LIMIT_MS / 1000} s.`);
        }),
      ]);
    } catch (error) {
      // What the server answered (a refusal) leaves the session usable, but telling both apart gains nothing.
      await this.drop();
      if (isTidemarkError(error)) throw error;
      throw mapQueryError(error, this.connection, doing, 'internal');
    } finally {
      limit.abort();
    }
  }

  private async open(): Promise<Session> {
    this.session ??= await connect(this.connection, {
      signal: this.stop.signal,
      applicationName: 'tidemark archive',
    });
    return this.session;
  }

  private async drop(): Promise<void> {
    const session = this.session;
    this.session = null;
    // Breaks the socket: an orderly end would wait for the answer that does not come.
    this.stop.abort();
    this.stop = new AbortController();
    await session?.close();
  }

  /** Waits for the question under way, then ends the session. Later questions are refused. */
  async close(): Promise<void> {
    await this.turn;
    this.closed = true;
    await this.session?.close();
    this.session = null;
  }
}
