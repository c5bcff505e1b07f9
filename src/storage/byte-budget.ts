/** Size of a part of an upload: 10,000 of them, the most a store takes, hold 156 GiB. */
export const PART_BYTES = 16 * 1024 * 1024;

/**
 * The memory that all uploads of a process share, handed out as buffers of one part each, first come first served.
 *
 * Uploads cannot block each other for good: each holds the part it fills and parts on their way, and never waits for more while it
 * could send. Buffers are kept for reuse while any is out (allocating 16 MiB per part would leave the collector behind), and given
 * back to the system when the last one returns.
 */
export class ByteBudget {
  readonly partBytes: number;
  private readonly limit: number;
  private out = 0;
  private idle: Buffer[] = [];
  private readonly waiting: { grant: () => void }[] = [];

  /** `bytes` is rounded down to whole parts, and is at least two: one to fill while one is sent. */
  constructor(bytes: number, partBytes = PART_BYTES) {
    this.partBytes = partBytes;
    this.limit = Math.max(2, Math.floor(bytes / partBytes));
  }

  /** A buffer of one part; waits until there is one. Throws the signal's reason. */
  async take(signal: AbortSignal): Promise<Buffer> {
    signal.throwIfAborted();
    if (this.out >= this.limit) await this.wait(signal);
    else this.out += 1;
    return this.idle.pop() ?? Buffer.allocUnsafeSlow(this.partBytes);
  }

  /** Gives a buffer back. With `reuse: false` (a failed request may still read it) only its place is given back. */
  give(buffer: Buffer, options: { reuse: boolean }): void {
    if (options.reuse) this.idle.push(buffer);
    const next = this.waiting.shift();
    if (next) {
      next.grant();
      return;
    }
    this.out -= 1;
    if (this.out === 0) this.idle = [];
  }

  private wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = {
        grant: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      const onAbort = () => {
        this.waiting.splice(this.waiting.indexOf(entry), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiting.push(entry);
    });
  }
}

/** The one budget of this process: six parts let one upload keep four in flight, and a second one go on beside it. */
export const processBudget = new ByteBudget(6 * PART_BYTES);
