import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import { giveTo } from '../../../platform/run-as.js';
import type { RecoverableBackup, RecoverablePart, RecoverOptions } from '../../chain-engine.js';
import { BASE_PART_NAME, MANIFEST_NAME } from './programs.js';
import type { SandboxPlace } from './sandbox-place.js';
import { makeOwnDir, runProgram } from './sandbox-place.js';
import type { ControlData } from './sandbox-settings.js';
import { parseControlData } from './sandbox-settings.js';
import { hasZstd, unpackPart } from './unpack-part.js';

async function readSmall(part: RecoverablePart): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await part.open()) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks);
}

async function unpackBackup(place: SandboxPlace, backup: RecoverableBackup, into: string): Promise<void> {
  makeOwnDir(place.user, into);
  const base = backup.parts.find((part) => part.name === BASE_PART_NAME);
  if (base === undefined)
    throw new TidemarkError('sandbox_failed', `Backup ${backup.backupId} has no ${BASE_PART_NAME}.`);
  await unpackPart(place, base, into, (await hasZstd()) ? 'zstd' : 'here');
  const manifest = join(into, MANIFEST_NAME);
  const part = backup.parts.find(({ name }) => name === MANIFEST_NAME);
  if (existsSync(manifest) || part === undefined) return;
  writeFileSync(manifest, await readSmall(part), { mode: 0o600 });
  giveTo(place.user, manifest);
}

/** Makes the data directory of the newest of `backups` at `place.data`, verified file by file against its manifest. */
export async function buildData(
  place: SandboxPlace,
  backups: readonly RecoverableBackup[],
  onPhase: RecoverOptions['onPhase'],
): Promise<ControlData> {
  const dirs: string[] = [];
  for (const [index, backup] of backups.entries()) {
    onPhase(backups.length === 1 ? 'unpacking the full' : `unpacking backup ${index + 1} of ${backups.length}`);
    const into = join(place.dir, `b${index}`);
    await unpackBackup(place, backup, into);
    dirs.push(into);
  }
  const [first] = dirs;
  let removing: Promise<unknown> | null = null;
  if (dirs.length === 1 && first !== undefined) renameSync(first, place.data);
  else {
    onPhase('combining');
    await runProgram(place, 'pg_combinebackup', [
      ...dirs,
      `--output=${place.data}`,
      '--no-sync',
      // The inputs are of no use afterwards, so they may share files with the result.
      ...(place.major >= 18 ? ['--link'] : []),
    ]);
    // Not in one go: removing gigabytes took seconds in which nothing else ran, heartbeats included. What stays goes with the sandbox.
    removing = Promise.allSettled(dirs.map((dir) => rm(dir, { recursive: true, force: true })));
  }
  onPhase('verifying');
  try {
    // Its own log is read by the recovery that follows.
    await runProgram(place, 'pg_verifybackup', ['--no-parse-wal', '--quiet', place.data]);
    return parseControlData(await runProgram(place, 'pg_controldata', [place.data]));
  } finally {
    await removing;
  }
}
