import { setTimeout as sleep } from 'node:timers/promises';

export type WriteWatch = {
  /** Ends both loops; throws what a write threw. */
  stop(): Promise<{
    readonly writes: number;
    /** Longest time in milliseconds that a write waited for something else than the machine. */
    readonly longestWaitMs: number;
  }>;
};

/**
 * Writes on and on, as an application does, to see whether a dump makes it wait. On a machine that is busy with other things every
 * statement takes long now and then: `read`, a statement that no lock stops, runs beside the writes on a connection of its own, and
 * its longest time is taken off.
 */
export function watchWrites(write: () => Promise<unknown>, read: () => Promise<unknown>, pauseMs = 20): WriteWatch {
  let stopped = false;
  const repeat = async (statement: () => Promise<unknown>) => {
    let longest = 0;
    let count = 0;
    while (!stopped) {
      const start = performance.now();
      await statement();
      longest = Math.max(longest, performance.now() - start);
      count += 1;
      await sleep(pauseMs);
    }
    return { longest, count };
  };
  const both = Promise.all([repeat(write), repeat(read)]);
  both.catch(() => {});
  return {
    async stop() {
      stopped = true;
      const [writes, reads] = await both;
      return { writes: writes.count, longestWaitMs: Math.max(0, writes.longest - reads.longest) };
    },
  };
}
