import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { TidemarkError } from '../../../domain/errors.js';
import { allOrNone } from '../../../platform/all-or-none.js';
import { giveTo } from '../../../platform/run-as.js';
import type { RecoverableBackup, RecoverOptions } from '../../chain-engine.js';
import { applyIncremental } from './apply-incremental.js';
import { BASE_PART_NAME, MANIFEST_NAME } from './programs.js';
import type { SandboxPlace } from './sandbox-place.js';
import { makeOwnDir, runProgram } from './sandbox-place.js';
import type { ControlData } from './sandbox-settings.js';
import { parseControlData } from './sandbox-settings.js';
import { hasZstd, unpackPart } from './unpack-part.js';

async function unpackBackup(place: SandboxPlace, backup: RecoverableBackup, into: string): Promise<void> {
  makeOwnDir(place.user, into);
  const base = backup.parts.find((part) => part.name === BASE_PART_NAME);
  if (base === undefined)
    throw new TidemarkError('sandbox_failed', `Backup ${backup.backupId} has no ${BASE_PART_NAME}.`);
  await unpackPart(place, base, into, (await hasZstd()) ? 'zstd' : 'here');
  const manifest = join(into, MANIFEST_NAME);
  const part = backup.parts.find(({ name }) => name === MANIFEST_NAME);
  if (existsSync(manifest) || part === undefined) return;
  writeFileSync(manifest, await buffer(await part.open(place.signal)), { mode: 0o600 });
  giveTo(place.user, manifest);
}

/**
 * No base backup holds links: tablespaces are folders in it. One that was put there could lead anywhere, and whoever follows it here may be
 * root.
 */
export async function refuseLinks(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) await refuseLinks(path);
    else if (!entry.isFile())
      throw new TidemarkError('sandbox_failed', `${path} of the backup is neither a file nor a folder.`, {
        object: path,
      });
  }
}

/** Unpacked, and verified file by file against the manifest that its server made. */
async function unpackVerified(place: SandboxPlace, backup: RecoverableBackup, into: string): Promise<void> {
  await unpackBackup(place, backup, into);
  await refuseLinks(into);
  // Its own log is read by the recovery that follows.
  await runProgram(place, 'pg_verifybackup', ['--no-parse-wal', '--quiet', into]);
}

/** The incrementals beside the full, which is by far the largest. */
async function unpackAll(place: SandboxPlace, backups: readonly RecoverableBackup[]): Promise<string[]> {
  const all = backups.map((backup, index) => ({ backup, into: join(place.dir, `b${index}`) }));
  const unpack = (some: typeof all) => async (signal: AbortSignal) => {
    for (const { backup, into } of some) await unpackVerified({ ...place, signal }, backup, into);
  };
  await allOrNone(place.signal, [unpack(all.slice(0, 1)), unpack(all.slice(1))]);
  return all.map(({ into }) => into);
}

/** Makes the data directory of the newest of `backups` at `place.data`: each backup verified, and each incremental put into the one before it. */
export async function buildData(
  place: SandboxPlace,
  backups: readonly RecoverableBackup[],
  onPhase: RecoverOptions['onPhase'],
): Promise<ControlData> {
  onPhase(
    backups.length === 1 ? 'unpacking and verifying the full' : `unpacking and verifying ${backups.length} backups`,
  );
  const [dir = '', ...incrementals] = await unpackAll(place, backups);
  const readControl = async () => parseControlData(await runProgram(place, 'pg_controldata', [dir]));
  let control = await readControl();
  for (const incremental of incrementals) {
    onPhase('combining');
    const { user, signal } = place;
    await applyIncremental({ dir, incremental, blockBytes: control.blockBytes, user, signal });
    control = await readControl();
  }
  renameSync(dir, place.data);
  return control;
}
