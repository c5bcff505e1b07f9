/**
 * `npm run soak -- --chains`: servers whose logs are followed while applications write, backups are taken, points are restored, and everything
 * around is killed. What does not hold is noted and the run goes on: one fault must not hide the next.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { EngineProduct } from '../../../src/platform/installed.js';
import { Broken } from '../broken.js';
import type { Random } from '../random.js';
import { createRandom } from '../random.js';
import type { BackupResult } from './chain-backups.js';
import { takeChainBackup } from './chain-backups.js';
import type { ChainWorld, Protected } from './chain-world.js';
import { startChainWorld, untilCovered } from './chain-world.js';
import type { Gap } from './closing-checks.js';
import { checkLeftovers, checkServer, findGaps, slotIsBehind } from './closing-checks.js';
import type { KillResult } from './kills.js';
import { drawKills, killAndFollow } from './kills.js';
import type { PointResult } from './points.js';
import { checkPoint, drawSorts } from './points.js';

export type ChainResults = {
  readonly products: readonly EngineProduct[];
  readonly points: Map<EngineProduct, PointResult[]>;
  readonly kills: Map<EngineProduct, KillResult[]>;
  readonly backups: Map<EngineProduct, BackupResult[]>;
  /** Transactions that each application had acknowledged, and those of its neighbour. */
  readonly written: Map<EngineProduct, { readonly own: number; readonly others: number }>;
  readonly gaps: Gap[];
  readonly faults: string[];
  /** Whether everything at the end was looked at. */
  closed: boolean;
  ranMs: number;
};

export type ChainOptions = {
  readonly home: string;
  readonly products: readonly EngineProduct[];
  readonly seed: number;
  readonly minutes: number;
  /** For each server. */
  readonly points: number;
  readonly kills: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
};

/** Two cores: a third recovery would only make the others slower. */
const RESTORES_AT_ONCE = 2;

const FIRST_MS = 10_000;
const FIRST_WITHIN_MS = 120_000;

type Run = ChainOptions & { readonly world: ChainWorld; readonly results: ChainResults; readonly begun: number };

export async function runChains(options: ChainOptions): Promise<ChainResults> {
  const started = Date.now();
  const { products } = options;
  const perProduct = <T>() => new Map<EngineProduct, T[]>(products.map((product) => [product, []]));
  const results: ChainResults = {
    ...{ products, points: perProduct(), kills: perProduct(), backups: perProduct(), written: new Map() },
    ...{ gaps: [], faults: [], closed: false, ranMs: 0 },
  };
  const world = await startChainWorld(options);
  try {
    // A window of some length first, so that there is something to draw from.
    for (const { chainId } of world.servers) await untilCovered(world, chainId, Date.now() + FIRST_MS, FIRST_WITHIN_MS);
    const run: Run = { ...options, world, results, begun: Date.now() };
    await disturbAndCheck(run);
    await close(run);
  } catch (error) {
    note(results, options.say, 'the run', error);
  } finally {
    for (const { product, application, noise } of world.servers)
      results.written.set(product, { own: application.writer.acknowledged, others: noise.transactions });
    results.ranMs = Date.now() - started;
    await world.close();
  }
  return results;
}

async function disturbAndCheck(run: Run): Promise<void> {
  const { world } = run;
  const turns = createTurns(RESTORES_AT_ONCE);
  let over = false;
  const isOver = () => over || run.signal.aborted;
  const main = [killAll(run), ...world.servers.map((server) => restoreAll(run, server, turns))];
  const beside = world.servers.map((server) => backUp(run, server, isOver));
  await Promise.all(main);
  over = true;
  await Promise.all(beside);
}

/** Time is up, or somebody stops the run. */
function isLate({ begun, minutes, signal }: Run): boolean {
  return signal.aborted || Date.now() - begun > minutes * 60_000;
}

/** Spreads what is left over the time: the `k`th of so many is not begun before its share of it. */
async function untilTurn(run: Run, k: number, of: number): Promise<void> {
  const notBefore = run.begun + (k / of) * run.minutes * 60_000 * 0.9;
  while (Date.now() < notBefore && !isLate(run)) await sleep(500);
}

async function killAll(run: Run): Promise<void> {
  const { world, results, say, seed } = run;
  for (let k = 0; k < run.kills; k += 1) {
    await untilTurn(run, k, run.kills);
    if (isLate(run)) return;
    const random = createRandom(seed, 'kills', k);
    const kills = drawKills(random, world.servers);
    await guarded(
      run,
      `kill ${k + 1} (${[...kills].map(([{ product }, sort]) => `${sort} of ${product}`).join(', ')})`,
      async () => {
        await killAndFollow(world, kills, random, ({ product }, result) => {
          results.kills.get(product)?.push(result);
          say(
            line(`kill ${k + 1}`, product, `${result.sort}: followed again after ${seconds(result.followedAgainMs)}`),
          );
        });
        for (const server of world.servers) {
          await slotIsBehind(world, server);
          for (const gap of await findGaps(world, server)) {
            if (results.gaps.some(({ product, message }) => product === gap.product && message === gap.message))
              continue;
            results.gaps.push(gap);
            throw new Broken(`${server.product}: a gap is noted, although its source lost nothing: ${gap.message}`);
          }
        }
      },
    );
    // Following goes on for a moment, and restores get somewhere.
    await sleep(random.int(1_000, 6_000));
  }
}

async function restoreAll(run: Run, server: Protected, turns: Turns): Promise<void> {
  const { world, results, seed, say } = run;
  const { product } = server;
  const sorts = drawSorts(createRandom(seed, product, 'sorts'), run.points);
  for (const [k, sort] of sorts.entries()) {
    await untilTurn(run, k, sorts.length);
    for (let tries = 0; tries < 3 && !isLate(run); tries += 1) {
      const random = createRandom(seed, product, 'point', k, tries);
      const result = await turns.take(() =>
        guarded(run, `point ${k + 1} of ${product} (${sort})`, () => checkPoint(world, server, sort, random)),
      );
      if (result === null) break;
      results.points.get(product)?.push(result);
      const { outcome, code, ms, point } = result;
      const said = `${sort}, ${point}: ${outcome}${code === null ? '' : ` (${code})`} in ${seconds(ms)} ${result.note}`;
      say(line(`point ${k + 1}`, product, said));
      if (outcome !== 'given up') break;
    }
  }
}

async function backUp(run: Run, server: Protected, isOver: () => boolean): Promise<void> {
  const { world, results, seed, say } = run;
  const { product } = server;
  for (let k = 0; !isOver(); k += 1) {
    const random: Random = createRandom(seed, product, 'backup', k);
    const until = Date.now() + random.int(40_000, 150_000);
    while (Date.now() < until && !isOver()) await sleep(500);
    if (isOver()) return;
    const result = await guarded(run, `backup ${k + 1} of ${product}`, () => takeChainBackup(world, server, random));
    if (result === null) continue;
    results.backups.get(product)?.push(result);
    say(line('backup', product, `${result.kind}: ${result.status}${result.code === null ? '' : ` (${result.code})`}`));
  }
}

async function close(run: Run): Promise<void> {
  const { world, results, seed, say } = run;
  if (run.signal.aborted) return;
  say('  the end of every log, a full and an incremental of each server, and what is left behind');
  const faultsBefore = results.faults.length;
  const turns = createTurns(RESTORES_AT_ONCE);
  await Promise.all(
    world.servers.map((server) =>
      turns.take(() =>
        guarded(run, `the end of ${server.product}`, async () => {
          const random = createRandom(seed, server.product, 'end');
          await checkServer(world, server, results.backups.get(server.product) ?? [], random);
          say(line('end', server.product, 'all that was acknowledged is stored and restored'));
        }),
      ),
    ),
  );
  await guarded(run, 'what is left behind', () => checkLeftovers(world));
  results.closed = results.faults.length === faultsBefore;
}

/** What does not hold is noted; null then. */
async function guarded<T>(run: Run, what: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!run.signal.aborted) note(run.results, run.say, what, error);
    return null;
  }
}

function note({ faults }: ChainResults, say: (line: string) => void, what: string, error: unknown): void {
  const said = error instanceof Error ? error.message : String(error);
  faults.push(`${what}: ${said}`);
  say(`${clock()}  BROKEN  ${what}: ${error instanceof Broken || !(error instanceof Error) ? said : error.stack}`);
}

type Turns = { take<T>(work: () => Promise<T>): Promise<T> };

function createTurns(atOnce: number): Turns {
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    async take(work) {
      if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
      running += 1;
      try {
        return await work();
      } finally {
        running -= 1;
        waiting.shift()?.();
      }
    },
  };
}

const clock = () => new Date().toISOString().slice(11, 19);
const line = (what: string, product: string, said: string) =>
  `${clock()}  ${what.padEnd(9)}  ${product.padEnd(11)}  ${said}`;
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
