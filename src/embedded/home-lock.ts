/** One `tidemark up` per home, and nothing left over from one that was killed. */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../domain/errors.js';
import type { Logger } from '../platform/logger.js';
import type { ProcessMark } from '../platform/processes.js';
import { endProcessTree, findDescendants, markProcess } from '../platform/processes.js';
import { makeEnterableDir, serverUser } from '../platform/run-as.js';
import { spawnChild } from '../platform/spawn-child.js';

/** In the environment of every process that `up` starts: says whose it is. */
const MARKER = 'TIDEMARK_COMPONENT_OF';

/** What to add to the environment of a process of this home, so that it is recognised after a crash. */
export function markerEnvironment(home: string): Record<string, string> {
  return { [MARKER]: realpathSync(home) };
}

/** Creates the home if needed. Entered by the servers' user when we are root; nobody else has business there. */
export function createHome(home: string): void {
  makeEnterableDir(serverUser(), home);
}

const LOCK_HELD = 75;

/**
 * Creates the home if needed and takes its lock. Throws `already_running` when another `up` has it.
 * The lock is the kernel's (flock), held by a child that dies with us: however we end, it is free.
 */
export async function lockHome(home: string): Promise<{ release(): Promise<void> }> {
  createHome(home);
  const child = spawnChild({
    command: 'flock',
    args: [
      '--nonblock',
      '--conflict-exit-code',
      String(LOCK_HELD),
      '--no-fork',
      join(home, 'up.lock'),
      'sh',
      '-c',
      'echo locked; exec cat',
    ],
    env: {},
    stdin: 'pipe',
    label: 'the lock of the home folder',
  });
  const locked = new Promise<true>((resolve) => child.stdout?.once('data', () => resolve(true)));
  const first = await Promise.race([locked, child.exited]);
  if (first === true) {
    child.stdout?.resume();
    return { release: async () => void (await child.kill()) };
  }
  if (first.code === LOCK_HELD) {
    throw new TidemarkError(
      'already_running',
      `Another Tidemark already runs with the folder ${home}. Stop it, or set TIDEMARK_HOME to another folder.`,
      { object: home },
    );
  }
  throw new TidemarkError('component_failed', `The folder ${home} could not be locked: ${first.stderr.trim()}`);
}

/**
 * Ends processes of this home that a killed `up` left behind. Call it with the lock held: whoever carries the marker then has no owner.
 * They normally die with their parent; this covers what escaped that, before anything touches their data.
 */
export async function endLeftovers(home: string, logger: Logger): Promise<number> {
  const wanted = `${MARKER}=${realpathSync(home)}`;
  const own = new Set([process.pid, ...findDescendants(process.pid).map((mark) => mark.pid)]);
  const found: ProcessMark[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || own.has(pid)) continue;
    let environment: string[];
    try {
      environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
    } catch {
      // Gone, or another user's: then it is not ours.
      continue;
    }
    const mark = environment.includes(wanted) ? markProcess(pid) : null;
    if (mark) found.push(mark);
  }
  for (const mark of found) logger.warn({ pid: mark.pid }, 'ending a process that an earlier run left behind');
  await Promise.all(found.map((mark) => endProcessTree(mark, 'SIGTERM', 10_000)));
  return found.length;
}
