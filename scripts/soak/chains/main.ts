import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runChild } from '../../../src/platform/run-child.js';
import { writeFigures } from '../report.js';
import { summarizeChains } from './chain-figures.js';
import type { ChainOptions } from './run-chains.js';
import { runChains } from './run-chains.js';
import { addUp, readRun, saveRun } from './saved-results.js';

const root = join(import.meta.dirname, '../../..');
const docs = join(root, 'docs/soak.md');

/** The figures of several saved runs together. False when something did not hold in one of them. */
export function addUpChains(
  paths: readonly string[],
  options: Pick<ChainOptions, 'say'> & { readonly note: string | undefined; readonly figures: boolean },
): boolean {
  const runs = paths.map(readRun);
  const [first] = runs;
  if (first === undefined) throw new Error('there is no run to add up');
  const results = addUp(runs);
  const { points, kills, minutes } = first;
  const products = results.products.join(' ');
  const figures = summarizeChains({
    ...{ results, points: points * runs.length, kills: kills * runs.length, minutes: minutes * runs.length },
    command: `npm run soak -- --chains --seed <seed> --minutes ${minutes} --points ${points} --kills ${kills} --only ${products}`,
    commit: [...new Set(runs.map(({ commit }) => commit))].join(', '),
    seed: `${runs.map(({ seed }) => seed).join(', ')}: ${runs.length} runs, added up`,
    note: options.note,
    endedEarly: runs.some(({ endedEarly }) => endedEarly),
  });
  options.say(`\n${figures}\n`);
  if (options.figures) writeFigures(docs, figures, `chains on ${results.products.join(', ')}`);
  return results.faults.length === 0;
}

/** Runs the soak of chains, prints its figures and puts them into the docs, also when it ended early. False when something did not hold. */
export async function soakChains(
  options: Omit<ChainOptions, 'home'> & {
    readonly note: string | undefined;
    readonly figures: boolean;
    readonly save: string | undefined;
  },
): Promise<boolean> {
  const { products, seed, minutes, points, kills, say, signal } = options;
  const command = `npm run soak -- --chains --seed ${seed} --minutes ${minutes} --points ${points} --kills ${kills} --only ${products.join(' ')}`;
  const home = mkdtempSync(join(tmpdir(), 'tidemark-soak-'));
  chmodSync(home, 0o711);
  say(`Soak of chains for ${minutes} minutes with seed ${seed}, state in ${home}`);
  const results = await runChains({ ...options, home });
  const head = await runChild({
    command: 'git',
    args: ['rev-parse', '--short', 'HEAD'],
    cwd: root,
    env: {},
    label: 'git',
  });
  const commit = head.code === 0 ? head.stdout.trim() : 'unknown';
  const figures = summarizeChains({ ...options, results, command, commit, endedEarly: signal.aborted });
  say(`\n${figures}\n`);
  if (options.save !== undefined)
    saveRun(options.save, { seed, minutes, points, kills, commit, endedEarly: signal.aborted, results });
  if (options.figures) writeFigures(docs, figures, `chains on ${products.join(', ')}`);
  const held = results.faults.length === 0;
  if (held || signal.aborted) rmSync(home, { recursive: true, force: true });
  else say(`State and logs are kept in ${home}`);
  return held;
}
