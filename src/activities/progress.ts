/** How often progress is written to the catalog, in milliseconds. */
const WRITE_EVERY_MS = 2_000;

export type Progress = { readonly phase: string; readonly bytes: number; readonly percent: number | null };

export type ProgressOptions = {
  /** Percent shown by earlier attempts; a new one starts its bytes again, but what a reader saw never goes back. */
  readonly floor: number | null;
  /** The part of the whole that this step covers, in percent. */
  readonly range?: readonly [number, number];
  readonly write: (progress: Progress) => Promise<unknown>;
  readonly report: (progress: Progress) => void;
};

/** Percent already shown on a row, or null. */
export function shownPercent(progress: unknown): number | null {
  if (typeof progress !== 'object' || progress === null || !('percent' in progress)) return null;
  return typeof progress.percent === 'number' ? progress.percent : null;
}

/**
 * Counts and shows progress. Percent comes only from a denominator set at the start; the estimate may be too small, so it stops at 99
 * until the run is settled. Without a denominator it stays what it was.
 */
export class ProgressMeter {
  private phase = 'starting';
  private bytes = 0;
  private total: number | null = null;
  private percent: number | null;
  private lastWrite = 0;
  private writing: Promise<unknown> = Promise.resolve();
  private readonly options: ProgressOptions;

  constructor(options: ProgressOptions) {
    this.options = options;
    this.percent = options.floor;
  }

  enter(phase: string, total: number | null = this.total): void {
    this.phase = phase;
    this.total = total;
    this.show(true);
  }

  /** Bytes of the phase so far. */
  set(bytes: number): void {
    this.bytes = bytes;
    this.show(false);
  }

  /** Share of the work that is done, where it is not counted in bytes. */
  setShare(done: number, total: number): void {
    if (total > 0) this.raise(done / total);
    this.show(false);
  }

  /** Waits for the write under way, so that none of ours comes after the row was settled. */
  async flush(): Promise<void> {
    await this.writing;
  }

  private raise(share: number): void {
    const [from, to] = this.options.range ?? [0, 100];
    const percent = Math.min(99, Math.floor(from + Math.min(1, share) * (to - from)));
    if (this.percent === null || percent > this.percent) this.percent = percent;
  }

  private show(now: boolean): void {
    if (this.total !== null && this.total > 0) this.raise(this.bytes / this.total);
    const progress = { phase: this.phase, bytes: this.bytes, percent: this.percent };
    this.options.report(progress);
    const time = Date.now();
    if (!now && time - this.lastWrite < WRITE_EVERY_MS) return;
    this.lastWrite = time;
    // One after the other, so that an older state never overwrites a newer one; a failed write is made up for by the next.
    this.writing = this.writing.then(() => this.options.write(progress)).catch(() => undefined);
  }
}
