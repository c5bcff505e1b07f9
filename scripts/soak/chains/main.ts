import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runChild } from '../../../src/platform/run-child.js';
import { writeFigures } from '../report.js';
import { summarizeChains } from './chain-figures.js';
import type { ChainOptions } from './run-chains.js';
import { runChains } from './run-chains.js';

/** Runs the soak of chains, prints its figures and puts them into the docs, also when it ended early. False when something did not hold. */
export async function soakChains(
  options: Omit<ChainOptions, 'home'> & { readonly note: string | undefined; readonly figures: boolean },
): Promise<boolean> {
  const { products, seed, minutes, points, kills, say, signal } = options;
  const root = join(import.meta.dirname, '../../..');
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
  if (options.figures) writeFigures(join(root, 'docs/soak.md'), figures, `chains on ${products.join(', ')}`);
  const held = results.faults.length === 0;
  if (held || signal.aborted) rmSync(home, { recursive: true, force: true });
  else say(`State and logs are kept in ${home}`);
  return held;
}
