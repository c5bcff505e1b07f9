import { setTimeout as delay } from 'node:timers/promises';
import { isTransient } from './s3-errors.js';

/** How long a store may be away in the middle of a transfer, beyond the SDK's own quick retries: a restart, a fail-over. */
export const DEFAULT_PATIENCE_MS = 60_000;

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

/**
 * Waits before another try of something that failed with `error`, mapped already; throws it when waiting would not help or has lasted
 * long enough. Starting a dump of hours from zero because a store restarted would be the greater evil.
 */
export class Patience {
  private readonly patienceMs: number;
  private readonly signal: AbortSignal;
  private since: number | null = null;
  private nextDelay = FIRST_DELAY_MS;

  constructor(patienceMs: number, signal: AbortSignal) {
    this.patienceMs = patienceMs;
    this.signal = signal;
  }

  /** Something succeeded: the next failure is the first again. */
  reset(): void {
    this.since = null;
    this.nextDelay = FIRST_DELAY_MS;
  }

  async wait(error: unknown): Promise<void> {
    this.since ??= Date.now();
    if (!isTransient(error) || Date.now() - this.since + this.nextDelay > this.patienceMs) throw error;
    await delay(this.nextDelay, undefined, { signal: this.signal }).catch(() => this.signal.throwIfAborted());
    this.nextDelay = Math.min(this.nextDelay * 2, LONGEST_DELAY_MS);
  }
}
