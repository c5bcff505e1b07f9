/**
 * `npm run soak`: the whole service and a real server per engine, rounds of backups and restores at random while things are killed,
 * stopped, cut, filled, damaged and lost, and after each round everything that must hold. Ends with the first thing that does not.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { program } from 'commander';
import { loadConfig } from '../src/config.js';
import type { EngineProduct } from '../src/platform/installed.js';
import { engineProducts, engineRoot } from '../src/platform/installed.js';
import { hold } from './soak/broken.js';
import { addUpChains, soakChains } from './soak/chains/main.js';
import { describeRound, summarize, writeFigures } from './soak/report.js';
import type { RoundResult } from './soak/round.js';
import { actions, roundName, runRound } from './soak/round.js';
import { findSecretsInLogs, startWatch } from './soak/watch.js';
import type { World } from './soak/world.js';
import { startWorld } from './soak/world.js';

program
  .name('npm run soak --')
  .description(
    'Backs up and restores at random while everything around is disturbed; stops at the first broken invariant.',
  )
  .option('--seed <number>', 'repeats the choices of a run (default: a random one, printed)')
  .option('--minutes <number>', 'how long', '60')
  .option('--engines <product...>', `only these: ${engineProducts.join(' ')}`)
  .option('--actions <action...>', `only these rounds (and backups where they need one): ${actions.join(', ')}`)
  .option('--chains', 'policies instead: followed logs, chains, points in time, and kills of everything')
  .option('--only <product...>', 'as --engines')
  .option('--points <number>', 'with --chains: points for each server', '20')
  .option('--kills <number>', 'with --chains: kills for each server', '50')
  .option('--save <file>', 'with --chains: keep what the run saw, to be added up with others')
  .option('--add-up <file...>', 'with --chains: no run, but the figures of saved ones together')
  .option('--note <text>', 'stands in the figures: what else the machine did, for instance')
  .option('--no-figures', 'leave docs/soak.md as it is')
  .parse();
const options = program.opts<{
  seed?: string;
  minutes: string;
  engines?: string[];
  only?: string[];
  chains?: boolean;
  points: string;
  kills: string;
  actions?: string[];
  save?: string;
  addUp?: string[];
  note?: string;
  figures: boolean;
}>();
const seed = options.seed === undefined ? Math.floor(Math.random() * 1e9) : Number(options.seed);
const minutes = Number(options.minutes);
if (!Number.isSafeInteger(seed) || !(minutes > 0))
  program.error('--seed takes a whole number, --minutes a positive one');
const [points, kills] = [Number(options.points), Number(options.kills)];
if (!Number.isSafeInteger(points) || !Number.isSafeInteger(kills) || points < 0 || kills < 0)
  program.error('--points and --kills take whole numbers');
const only = options.only ?? options.engines;

/** Workers are promised 350 MiB; the tests' logging and a busy machine get some air before it counts as growth without bound. */
const MOST_MEMORY_MIB = 700;

const config = loadConfig();
const skipped: string[] = [];
const products = engineProducts.filter((product) => {
  if (only !== undefined && !only.includes(product)) return false;
  if (engineRoot(product, config.install) !== null) return true;
  skipped.push(`${product}: not installed here`);
  return false;
});
if (products.length === 0) program.error('none of these engines is installed; npm run doctor says how to get them');
const wanted = actions.filter((action) => options.actions === undefined || options.actions.includes(action));
if (wanted.length === 0) program.error(`--actions takes some of: ${actions.join(', ')}`);
const command = `npm run soak -- --seed ${seed} --minutes ${minutes}${engines(products)}${options.actions === undefined ? '' : ` --actions ${wanted.map((action) => JSON.stringify(action)).join(' ')}`}`;

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());

if (options.chains) {
  const { note, figures, save } = options;
  if (options.addUp !== undefined) process.exit(addUpChains(options.addUp, { note, figures, say }) ? 0 : 1);
  const { signal } = stopping;
  const held = await soakChains({ products, seed, minutes, points, kills, note, figures, save, signal, say });
  process.exit(held ? 0 : 1);
}

const home = mkdtempSync(join(tmpdir(), 'tidemark-soak-'));
chmodSync(home, 0o711);
say(`Soak for ${minutes} minutes with seed ${seed}, state in ${home}`);
const started = Date.now();
const results: RoundResult[] = [];
let world: World | undefined;
let broken = false;
let round = 0;
try {
  world = await startWorld({ home, products, signal: stopping.signal, say });
  if (world.disk.skipped !== null) skipped.push(`full disk: ${world.disk.skipped}`);
  const watch = startWatch(world.service, world.secrets);
  try {
    while (Date.now() - started < minutes * 60_000 && !stopping.signal.aborted) {
      round += 1;
      const roundStarted = Date.now();
      const result = await runRound(world, seed, round, wanted);
      results.push(result);
      say(describeRound(round, result, Date.now() - roundStarted));
      hold(watch.leaked().length === 0, `a secret stood on the command line of ${watch.leaked().join(', ')}`);
      const { max } = watch.memory();
      hold(max < MOST_MEMORY_MIB, `the worker's memory reached ${Math.round(max)} MiB`);
    }
    const logs = findSecretsInLogs(world.service.home, world.secrets);
    hold(logs.length === 0, `a secret stands in ${logs.join(', ')}`);
  } finally {
    watch.stop();
  }
  const ranMs = Date.now() - started;
  const figures = summarize({
    seed,
    minutes,
    ranMs,
    command,
    results,
    memory: watch.memory(),
    skipped,
    note: options.note,
  });
  say(`\n${figures}\n`);
  if (options.figures && !stopping.signal.aborted) writeFigures(join(import.meta.dirname, '../docs/soak.md'), figures);
} catch (error) {
  broken = true;
  if (!stopping.signal.aborted) {
    say(
      `\nBROKEN in round ${round} (${roundName(seed, round, products)}): ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    say(`Repeat the choices (times differ from run to run): ${command}`);
    say(`State and logs are kept in ${home}`);
  }
} finally {
  await world?.close();
  if (!broken || stopping.signal.aborted) rmSync(home, { recursive: true, force: true });
}
process.exit(broken ? 1 : 0);

function engines(chosen: readonly EngineProduct[]): string {
  return only === undefined ? '' : ` --engines ${chosen.join(' ')}`;
}

function say(line: string): void {
  console.log(line);
}
