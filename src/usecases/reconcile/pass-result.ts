import type { Logger } from 'pino';

/** What a pass may change; every key is said in the log with its ids. */
export type PassChange =
  | 'schedulesCreated'
  | 'schedulesUpdated'
  | 'schedulesRemoved'
  | 'runsStarted'
  | 'runsSettled'
  | 'runsCancelled'
  | 'workflowsEnded';

/** Collects what one pass of the reconcile loop did. One thing that fails never keeps the others from being done. */
export class PassResult {
  readonly changes: Partial<Record<PassChange, string[]>> = {};
  failures = 0;
  private readonly logger: Logger;

  constructor(logger: Logger) {
    this.logger = logger;
  }

  note(change: PassChange, id: string): void {
    const ids = this.changes[change] ?? [];
    ids.push(id);
    this.changes[change] = ids;
  }

  async attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.failures += 1;
      this.logger.warn({ err: error, what }, 'reconcile: left for the next pass');
    }
  }
}
