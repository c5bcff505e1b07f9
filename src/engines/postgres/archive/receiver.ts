import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../../../domain/errors.js';
import type { Child } from '../../../platform/spawn-child.js';
import { spawnChild } from '../../../platform/spawn-child.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Tools } from '../../shared/find-tools.js';
import { toolCommand } from '../../shared/find-tools.js';
import { libpqEnvironment } from '../tools.js';
import { receivingSlot } from './slots.js';
import type { Spool } from './spool.js';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
/** A receiver that ran this long was well: the next failure is a new one. */
const WELL_AFTER_MS = 10_000;
const SPOOL_LOOK_MS = 100;

/** Once the log stored so far cannot be continued; made into an error when the last byte that is there was handed out. */
export type Interruption = 'removed' | 'other_history';

export type ReceiverOptions = {
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly tools: Tools;
  readonly spool: Spool;
  readonly slot: string;
  readonly spoolLimitBytes: number;
  /** Runs before each start of the program: is it the same server, and are slots and spool ready? */
  readonly beforeStart: () => Promise<void>;
  /** The program says that the log cannot be continued, in its words. Nothing is started any more. */
  readonly onInterrupted: (how: Interruption, words: string) => Promise<void>;
  /** `beforeStart` failed for good. */
  readonly onFailed: (error: TidemarkError) => void;
};

/** Errors of the way to the source that go away by themselves, or once a person has mended something; following goes on then. */
function mayPass(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && !['log_gap', 'server_identity_changed', 'fenced'].includes(error.code);
}

/**
 * Keeps one `pg_receivewal` running that fills the spool, until `stop`. It is run without its own restart loop: before each start the
 * slots must be made ready and the server recognised.
 */
export class Receiver {
  private readonly options: ReceiverOptions;
  private child: Child | null = null;
  private readonly stopping = new AbortController();
  private finished: Promise<void> = Promise.resolve();
  private words: string | null = 'The receiver has not started yet.';
  private full = false;
  /** Rises with each start: what was known of the former run's bytes has to be looked at again. */
  generation = 0;

  constructor(options: ReceiverOptions) {
    this.options = options;
  }

  start(): void {
    this.finished = this.run();
  }

  get running(): boolean {
    return this.child !== null;
  }

  /** Why it does not receive, or null. */
  get message(): string | null {
    return this.words;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.child?.kill();
    await this.finished;
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted || this.options.context.signal.aborted;
  }

  private async run(): Promise<void> {
    let pause = FIRST_PAUSE_MS;
    while (!this.stopped) {
      const begun = Date.now();
      try {
        if (await this.isFull()) {
          await this.rest(SPOOL_LOOK_MS);
          continue;
        }
        await this.options.beforeStart();
        if (this.stopped) return;
        if (await this.receive()) return;
      } catch (error) {
        if (!mayPass(error)) {
          this.options.onFailed(
            isTidemarkError(error)
              ? error
              : new TidemarkError('internal', 'Receiving the log failed unexpectedly.', {}, { cause: error }),
          );
          return;
        }
        this.words = error.message;
      }
      if (this.full) continue;
      if (Date.now() - begun > WELL_AFTER_MS) pause = FIRST_PAUSE_MS;
      await this.rest(pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }

  private async rest(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => {});
  }

  /** Runs the program once; true when it must not be started again. */
  private async receive(): Promise<boolean> {
    const { connection, context, tools, spool, slot } = this.options;
    const libpq = await libpqEnvironment(connection, context, {
      applicationName: 'tidemark archive',
      database: connection.database,
    });
    try {
      const child = spawnChild({
        command: toolCommand(tools, 'pg_receivewal'),
        args: [
          `--directory=${spool.dir}`,
          `--slot=${receivingSlot(slot)}`,
          '--synchronous',
          '--no-loop',
          '--no-password',
          '--status-interval=1',
          // A source behind a cut network would be waited for as long as the system's TCP does, which is hours.
          '--dbname=keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=20000',
        ],
        env: libpq.env,
        stdout: 'ignore',
        label: `pg_receivewal of ${connection.host}`,
        redact: [connection.password],
        signal: context.signal,
      });
      this.child = child;
      this.generation += 1;
      this.words = null;
      const watch = setInterval(() => void this.endWhenFull(child), SPOOL_LOOK_MS);
      const exit = await child.exited.finally(() => clearInterval(watch));
      this.child = null;
      if (this.stopped || this.full) return false;
      const said = lastError(exit.stderr);
      this.words = `The receiver ended (${exit.signal ?? `exit code ${exit.code}`}): ${said}`;
      const how = interruptionIn(exit.stderr);
      if (how === null) return false;
      await this.options.onInterrupted(how, said);
      return true;
    } finally {
      this.child = null;
      await libpq.cleanUp();
    }
  }

  private async endWhenFull(child: Child): Promise<void> {
    if (!this.full && (await this.isFull())) await child.kill();
  }

  /** Stops with room for what arrives until the next look; starts again when a part of it was shipped, not at each single segment. */
  private async isFull(): Promise<boolean> {
    const { spool, spoolLimitBytes } = this.options;
    const { bytes } = await spool.list();
    const least = 2 * spool.segmentBytes;
    const stopAt = Math.max(least, spoolLimitBytes - Math.max(4 * spool.segmentBytes, spoolLimitBytes / 4));
    this.full = bytes > (this.full ? Math.max(least, stopAt / 2) : stopAt);
    if (this.full)
      this.words = `The spool holds ${bytes} of at most ${spoolLimitBytes} bytes; receiving goes on when they were stored.`;
    return this.full;
  }
}

/** libpq and the server say the reason last. */
function lastError(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const errors = lines.filter((line) => /error|FATAL/i.test(line));
  return (errors.at(-1) ?? lines.at(-1) ?? 'no further message').replace(/^pg_receivewal: /, '').trim();
}

function interruptionIn(stderr: string): Interruption | null {
  if (/requested WAL segment \S+ has already been removed/.test(stderr)) return 'removed';
  if (/is not in this server's history|timeline \d+ .*not .*history/.test(stderr)) return 'other_history';
  return null;
}
