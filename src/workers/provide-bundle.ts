import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidemarkError } from '../domain/errors.js';
import { runChild } from '../platform/run-child.js';
import { builtBundlePath } from './build-bundle.js';

/**
 * The workflow bundle that `npm run build` made; without one (run from source) it is made now, by a child: webpack takes some
 * hundred MiB, which the worker would keep for the rest of its life.
 */
export async function provideBundle(folder: string): Promise<{ codePath: string }> {
  if (existsSync(builtBundlePath)) return { codePath: builtBundlePath };
  const program = fileURLToPath(
    new URL(`./bundle-main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
  );
  const codePath = join(folder, 'workflow-bundle.js');
  const child = await runChild({
    command: process.execPath,
    // The loaders we run with ourselves; they may be named relative to where we were started.
    args: [...process.execArgv, program, codePath],
    env: {},
    cwd: process.cwd(),
    label: 'bundling of the workflows',
    timeoutMs: 120_000,
  });
  if (child.code === 0) return { codePath };
  throw new TidemarkError('internal', `The workflows could not be bundled: ${child.stderr.trim().split('\n').at(-1)}`);
}
