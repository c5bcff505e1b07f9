/** Each holds up to 4 MiB of what is written. */
const AT_A_TIME = 4;

/** Writes that go on while the next ones are prepared, a few at a time. The first failure is told by whatever is called next. */
export class WritesBehind {
  private readonly pending = new Set<Promise<void>>();
  private failure: { readonly error: unknown } | null = null;

  /** Resolves when there is room for another one. */
  async add(work: Promise<void>): Promise<void> {
    const watched = work
      .catch((error: unknown) => {
        this.failure ??= { error };
      })
      .finally(() => this.pending.delete(watched));
    this.pending.add(watched);
    while (this.pending.size >= AT_A_TIME) await Promise.race(this.pending);
    if (this.failure) throw this.failure.error;
  }

  /** Waits for all, whatever becomes of them. */
  async settled(): Promise<void> {
    while (this.pending.size > 0) await Promise.race(this.pending);
  }

  async done(): Promise<void> {
    await this.settled();
    if (this.failure) throw this.failure.error;
  }
}
