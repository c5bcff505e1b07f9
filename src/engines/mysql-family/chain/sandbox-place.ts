import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import type { RunAsUser } from '../../../platform/run-as.js';
import { canOthersReach, giveTo, sandboxUser } from '../../../platform/run-as.js';
import type { EngineContext } from '../../engine.js';
import { endLeftoverSandbox } from '../../shared/sandbox-state.js';
import type { Brand } from '../brand.js';
import { socketOf } from '../session.js';
import type { SandboxPrograms } from './sandbox-programs.js';

/** The path of a socket holds 107 bytes. */
const MAX_SOCKET_BYTES = 107;

/** Everything a sandbox's folder holds besides what the caller put there. */
export type SandboxPlace = {
  readonly brand: Brand;
  readonly programs: SandboxPrograms;
  readonly dir: string;
  readonly data: string;
  /** Folder of the socket. */
  readonly socketDir: string;
  readonly tmp: string;
  readonly relay: string;
  readonly optionFile: string;
  readonly user: RunAsUser | undefined;
  readonly signal: AbortSignal;
};

/** Ends what a killed run left in the folder, and makes it ready for a new server. */
export async function prepareSandboxPlace(
  brand: Brand,
  programs: SandboxPrograms,
  dir: string,
  context: EngineContext,
): Promise<SandboxPlace> {
  await endLeftoverSandbox(dir);
  const user = sandboxUser();
  if (user && !canOthersReach(dir))
    throw new TidemarkError(
      'sandbox_failed',
      `The sandbox cannot run in ${dir}: it runs as ${user.name}, who cannot enter one of the folders above.`,
      { object: dir },
    );
  const place: SandboxPlace = {
    brand,
    programs,
    dir,
    data: join(dir, 'data'),
    socketDir: join(dir, 's'),
    tmp: join(dir, 'tmp'),
    relay: join(dir, 'relay'),
    optionFile: join(dir, 'server.cnf'),
    user,
    signal: context.signal,
  };
  if (Buffer.byteLength(socketOf(place.socketDir)) > MAX_SOCKET_BYTES)
    throw new TidemarkError('sandbox_failed', `The path ${dir} is too long for the socket of a sandbox.`, {
      object: dir,
    });
  for (const folder of [place.data, place.socketDir, place.tmp, place.relay]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { mode: 0o700 });
    // mkdir is subject to the umask.
    chmodSync(folder, 0o700);
    giveTo(user, folder);
  }
  return place;
}

/** Writes a file that the sandbox's user alone can read. */
export function writeForSandbox(place: SandboxPlace, path: string, content: string): void {
  rmSync(path, { force: true });
  writeFileSync(path, content, { mode: 0o600, flag: 'wx' });
  giveTo(place.user, path);
}
