import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, markProcess } from '../../platform/processes.js';

/** Folders in use by this process: a step that was told to stop may still be closing its receiver when its successor begins. */
const held = new Set<string>();

export type ClaimedSpool = { readonly dir: string; release(): void };

/**
 * A folder for the receiver of a chain, kept from one follower to the next, and never shared by two: a worker that was only believed dead
 * still writes into its own. The usual folder is `<root>/<chainId>`; while somebody alive holds it, another one is made and thrown away after.
 * Its loss is harmless: the store has what was acknowledged, and the source the rest.
 */
export function claimSpool(root: string, chainId: string): ClaimedSpool {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? chainId : `${chainId}.${number}`;
    const dir = join(root, name);
    const lock = join(root, `${name}.lock`);
    if (held.has(dir) || !claim(lock)) continue;
    held.add(dir);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    return {
      dir,
      release: () => {
        held.delete(dir);
        if (number > 1) rmSync(dir, { recursive: true, force: true });
        rmSync(lock, { force: true });
      },
    };
  }
}

function claim(lock: string): boolean {
  const own = JSON.stringify(markProcess(process.pid));
  for (;;) {
    try {
      writeFileSync(lock, own, { flag: 'wx', mode: 0o600 });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = readMark(lock);
    if (holder !== null && isRunning(holder)) return false;
    // Of a process that is gone, perhaps of this one's number before.
    rmSync(lock, { force: true });
  }
}

function readMark(lock: string): Parameters<typeof isRunning>[0] | null {
  try {
    return JSON.parse(readFileSync(lock, 'utf8')) as Parameters<typeof isRunning>[0];
  } catch {
    return null;
  }
}
