import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';

/** The longest that a question to the source may take, in milliseconds: over a connection that was cut in the middle no answer ever comes. */
const ANSWER_LIMIT_MS = 20_000;

export type SourceControlOptions<Session> = {
  /** Opens a session that breaks when the signal aborts. */
  readonly open: (signal: AbortSignal) => Promise<Session>;
  /** Makes a driver's error one for the user. */
  readonly toError: (error: unknown, doing: string) => TidemarkError;
};

/**
 * One session to the source that is kept open and opened again when it failed. Questions are asked one after the other; a failed or late one
 * throws a mapped error (`connection_lost`, `database_unreachable` …) and the next one connects anew.
 */
export class SourceControl<Session extends { close(): Promise<void> }> {
  private readonly options: SourceControlOptions<Session>;
  private session: Session | null = null;
  private stop = new AbortController();
  private turn: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(options: SourceControlOptions<Session>) {
    this.options = options;
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
      throw this.options.toError(error, doing);
    } finally {
      limit.abort();
    }
  }

  private async open(): Promise<Session> {
    this.session ??= await this.options.open(this.stop.signal);
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
