import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, markProcess } from '../platform/processes.js';

/**
 * A folder for the scratch files of this worker process alone, after those of dead ones are removed: they hold password files of tools
 * whose activity could not clean up. The children themselves are gone, they die with their worker. A folder's name is pid and
 * start time, so that a reused pid is not taken for its owner.
 */
export function openScratchRoot(home: string): string {
  const parent = join(home, 'scratch');
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(parent)) {
    const match = /^worker-(\d+)-(.+)$/.exec(name);
    const mark = match?.[1] && match[2] ? { pid: Number(match[1]), start: match[2].replace('~', '/') } : null;
    if (mark === null || !isRunning(mark)) rmSync(join(parent, name), { recursive: true, force: true });
  }
  const self = markProcess(process.pid);
  const own = join(parent, `worker-${process.pid}-${(self?.start ?? 'unknown').replace('/', '~')}`);
  mkdirSync(own, { recursive: true, mode: 0o700 });
  return own;
}
