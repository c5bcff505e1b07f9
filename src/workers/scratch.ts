import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TidemarkError } from '../domain/errors.js';
import { markProcess } from '../platform/processes.js';
import { makeEnterableDir, sandboxUser } from '../platform/run-as.js';

/**
 * A folder for the scratch files of this worker process alone, after those of dead ones are removed: they hold password files of tools
 * whose activity could not clean up. The children themselves are gone, they die with their worker. A folder's name is pid and
 * start time, so that a reused pid is not taken for its owner.
 */
export function openScratchRoot(home: string): string {
  const parent = join(home, 'scratch');
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  return openOwnFolder(parent, 'worker-', 0o700, (start) => start.replace('/', '~'));
}

/**
 * The same for sandboxes, whose servers may run as another user: outside of the home, which that user may not be able to enter, and with a
 * short path, because their sockets lie below.
 */
export function openSandboxRoot(): string {
  const user = sandboxUser();
  const parent = join(tmpdir(), `tidemark-sandboxes-${process.getuid?.() ?? 0}`);
  makeEnterableDir(user, parent);
  if (lstatSync(parent).uid !== (process.getuid?.() ?? 0)) {
    throw new TidemarkError('sandbox_failed', `${parent} belongs to somebody else: remove it.`);
  }
  // Without the boot's id: a socket's path holds some hundred bytes.
  return openOwnFolder(parent, '', user === undefined ? 0o700 : 0o711, (start) => start.split('/')[1] ?? '');
}

function openOwnFolder(parent: string, prefix: string, mode: number, shorten: (start: string) => string): string {
  const nameOf = (pid: number) => {
    const mark = markProcess(pid);
    return mark === null ? null : `${prefix}${pid}-${shorten(mark.start)}`;
  };
  for (const name of readdirSync(parent)) {
    const pid = /^[a-z]*-?(\d+)-/.exec(name)?.[1];
    const alive = pid !== undefined && nameOf(Number(pid)) === name;
    if (!alive) rmSync(join(parent, name), { recursive: true, force: true });
  }
  const own = join(parent, nameOf(process.pid) ?? `${prefix}${process.pid}-unknown`);
  mkdirSync(own, { recursive: true, mode });
  // Whatever the umask is.
  chmodSync(own, mode);
  return own;
}
