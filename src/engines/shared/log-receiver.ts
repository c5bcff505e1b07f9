import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5_000;
/** A receiver that ran this long was well: the next failure is a new one. */
const WELL_AFTER_MS = 10_000;
const SPOOL_LOOK_MS = 100;

/** Once the log stored so far cannot be continued; made into an error when the last byte that is there was handed out. */
export type Interruption = 'removed' | 'other_history';

/** A receiver at work: a program, or a connection of ours. */
export type RunningReceiver = {
  /** `code`: of a program; `stderr`: all that was said, nothing when it was only ended. */
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null; readonly stderr: string }>;
  kill(): Promise<unknown>;
};

export type LogReceiverOptions = {
  readonly signal: AbortSignal;
  /** Runs before each start of the receiver: is it the same server, and are its log and the spool ready? */
  readonly beforeStart: () => Promise<void>;
  /** Starts the receiver; `cleanUp` runs when it has ended. */
  readonly launch: () => Promise<{ readonly child: RunningReceiver; cleanUp(): Promise<void> }>;
  /** Why nothing more can be received for now, in words; null when there is room. `wasFull`: what the last look said. */
  readonly findFull: (wasFull: boolean) => Promise<string | null>;
  /** The reason out of all that was said. */
  readonly lastError: (stderr: string) => string;
  readonly interruptionIn: (stderr: string) => Interruption | null;
  /** It was said that the log cannot be continued, in these words. Nothing is started any more. */
  readonly onInterrupted: (how: Interruption, words: string) => Promise<void>;
  /** `beforeStart` failed for good. */
  readonly onFailed: (error: TidemarkError) => void;
};

/** Errors of the way to the source that go away by themselves, or once a person has mended something; following goes on then. */
function mayPass(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && !['log_gap', 'server_identity_changed', 'fenced'].includes(error.code);
}

/** Keeps one receiver running that receives a server's log into the spool, until `stop`; starts it again after each end of whatever kind. */
export class LogReceiver {
  private readonly options: LogReceiverOptions;
  private child: RunningReceiver | null = null;
  private readonly stopping = new AbortController();
  private finished: Promise<void> = Promise.resolve();
  private words: string | null = 'The receiver has not started yet.';
  private full = false;
  /** The disk of the spool was, when the receiver or a preparation last failed. */
  private diskFull = false;
  /** Rises with each start: what was known of the former run's bytes has to be looked at again. */
  generation = 0;

  constructor(options: LogReceiverOptions) {
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

  /** Ends the receiver, which is started again: for a connection over which nothing comes any more. */
  async restart(): Promise<void> {
    await this.child?.kill();
  }

  /** Nothing is received for want of space: the spool's own limit, or its disk. */
  get outOfSpace(): boolean {
    return this.full || this.diskFull;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.child?.kill();
    await this.finished;
  }

  private get stopped(): boolean {
    return this.stopping.signal.aborted || this.options.signal.aborted;
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
        this.diskFull = (error as NodeJS.ErrnoException).code === 'ENOSPC';
        if (this.diskFull) this.words = `The disk of the spool is full: ${(error as Error).message}`;
        else if (!mayPass(error)) {
          this.options.onFailed(
            isTidemarkError(error)
              ? error
              : new TidemarkError('internal', 'Receiving the log failed unexpectedly.', {}, { cause: error }),
          );
          return;
        } else this.words = error.message;
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

  /** Runs the receiver once; true when it must not be started again. */
  private async receive(): Promise<boolean> {
    const { launch, lastError, interruptionIn, onInterrupted } = this.options;
    const { child, cleanUp } = await launch();
    try {
      this.child = child;
      this.generation += 1;
      this.words = null;
      const watch = setInterval(() => void this.endWhenFull(child), SPOOL_LOOK_MS);
      // A stop that came while it was being launched found no child to end.
      if (this.stopped) await child.kill();
      const exit = await child.exited.finally(() => clearInterval(watch));
      this.child = null;
      if (this.stopped || this.full) return false;
      const said = lastError(exit.stderr);
      this.diskFull = /no space left on device/i.test(exit.stderr);
      const end = exit.signal ?? (exit.code === null ? null : `exit code ${exit.code}`);
      this.words = `The receiver ended${end === null ? '' : ` (${end})`}: ${said}`;
      const how = interruptionIn(exit.stderr);
      if (how === null) return false;
      await onInterrupted(how, said);
      return true;
    } finally {
      this.child = null;
      await cleanUp();
    }
  }

  private async endWhenFull(child: RunningReceiver): Promise<void> {
    if (!this.full && (await this.isFull())) await child.kill();
  }

  private async isFull(): Promise<boolean> {
    const words = await this.options.findFull(this.full);
    this.full = words !== null;
    if (words !== null) this.words = words;
    return this.full;
  }
}
