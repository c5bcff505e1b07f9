/** Which user database servers run as. postgres, mysqld and mariadbd refuse to run as root. */
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { TidemarkError } from '../domain/errors.js';

export type RunAsUser = { readonly name: string; readonly uid: number; readonly gid: number };

/** The passwd entry of the first of these names that has one. */
function findUser(names: readonly string[]): RunAsUser | undefined {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const wanted of names) {
    for (const line of lines) {
      const [name, , uid, gid] = line.split(':');
      if (name === wanted && uid && gid && uid !== '0') return { name, uid: Number(uid), gid: Number(gid) };
    }
  }
  return undefined;
}

/**
 * The user to start database servers as: `nobody` when the service is root, undefined (= the service's own user) when it is not.
 * It must have a passwd entry: initdb looks itself up there.
 */
export function serverUser(): RunAsUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const user = findUser(['nobody']);
  if (user) return user;
  throw new TidemarkError(
    'component_failed',
    'Database servers cannot run as root, and the user `nobody` does not exist here.',
  );
}

/** Users that own nothing on a usual Linux host and run none of our servers. */
const SANDBOX_USERS = ['games', 'daemon', 'bin', 'lp', 'sys'];

/**
 * The user of sandboxes when the service is root; undefined (= the service's own user) when it is not. Never the one of `serverUser()`:
 * functions restored from elsewhere run in a sandbox, and as `nobody` they could read the embedded catalog.
 */
export function sandboxUser(): RunAsUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const user = findUser(SANDBOX_USERS);
  if (user) return user;
  throw new TidemarkError(
    'sandbox_failed',
    `A sandbox cannot run as root, and none of the users ${SANDBOX_USERS.join(', ')} exists here: add one of them.`,
  );
}

/** Gives a file or folder to the server's user; does nothing when servers run as the service's own user. */
export function giveTo(user: RunAsUser | undefined, path: string): void {
  if (user) chownSync(path, user.uid, user.gid);
}

/**
 * Creates a folder that the servers' user can enter but not list or change, whatever root's umask is; existing folders stay as they are.
 * Without such a user it is ours alone.
 */
export function makeEnterableDir(user: RunAsUser | undefined, path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: user ? 0o711 : 0o700 });
  if (!user || first === undefined) return;
  for (let dir = path; dir.length >= first.length; dir = dirname(dir)) chmodSync(dir, 0o711);
}

/** Can other users enter every folder on the way to `path` (as far as it exists)? */
export function canOthersReach(path: string): boolean {
  for (let dir = path; ; dir = dirname(dir)) {
    const mode = statSync(dir, { throwIfNoEntry: false })?.mode;
    if (mode !== undefined && (mode & 0o001) === 0) return false;
    if (dir === dirname(dir)) return true;
  }
}
