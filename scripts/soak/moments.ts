import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './random.js';
import type { Watcher } from './runs.js';

/** So long after the run was asked for, or so long after its progress has shown so many phases. */
type Moment = { readonly phases: number; readonly afterMs: number };

/** Random moments of one run: by the clock, and by its phases, which a clock alone rarely meets when they are short. */
export type Moments = Watcher & {
  /** Of the run; null before it exists. */
  readonly path: string | null;
  choose(random: Random): Moment;
  /** Resolves at the moment, or shortly after the end of the run; says which it was. */
  reached(moment: Moment): Promise<string>;
  /** Nothing more will be seen of the run. */
  over(): void;
};

export function createMoments(usualMs: number): Moments {
  let path: string | null = null;
  let startedAt = 0;
  let ended = false;
  const seen: string[] = [];
  return {
    get path() {
      return path;
    },
    started(at) {
      path = at;
      startedAt = performance.now();
    },
    phase(name) {
      if (seen.at(-1) !== name) seen.push(name);
    },
    choose: (random) =>
      random.chance(0.5)
        ? { phases: 0, afterMs: random.next() * usualMs }
        : { phases: random.int(1, 3), afterMs: random.next() * 600 },
    async reached({ phases, afterMs }) {
      while (!ended && (path === null || seen.length < phases)) await sleep(10);
      if (!ended) await sleep(afterMs);
      const phase = seen.at(-1);
      const where = ended ? 'after its end' : phase === undefined ? 'before its first phase' : `while ${phase}`;
      return `${where} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`;
    },
    over() {
      ended = true;
    },
  };
}
