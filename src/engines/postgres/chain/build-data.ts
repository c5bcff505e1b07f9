import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TidemarkError } from '../../../domain/errors.js';
import type { RunAsUser } from '../../../platform/run-as.js';
import { giveTo } from '../../../platform/run-as.js';
import { runChild } from '../../../platform/run-child.js';
import { spawnChild } from '../../../platform/spawn-child.js';
import type { RecoverableBackup, RecoverOptions } from '../../chain-engine.js';
import type { Tools } from '../../shared/find-tools.js';
import { toolCommand } from '../../shared/find-tools.js';
import { lastLines } from '../snapshot.js';
import { BASE_PART_NAME, MANIFEST_NAME } from './programs.js';
import type { ControlData } from './sandbox-settings.js';
import { parseControlData } from './sandbox-settings.js';

export type SandboxPlace = {
  readonly dir: string;
  readonly data: string;
  readonly programs: Tools;
  readonly major: number;
  readonly user: RunAsUser | undefined;
  readonly signal: AbortSignal;
};

const cancelled = () => new TidemarkError('cancelled', 'The run was cancelled.');

function failed(doing: string, stderr: string): TidemarkError {
  const code = /No space left on device/.test(stderr) ? 'sandbox_space' : 'sandbox_failed';
  return new TidemarkError(code, `${doing} failed: ${lastLines(stderr) || 'the program gave no reason'}`);
}

/** A folder of the sandbox's user alone. */
export function makeOwnDir(user: RunAsUser | undefined, path: string): void {
  mkdirSync(path, { mode: 0o700 });
  giveTo(user, path);
}

/** Runs one of the server's programs as the sandbox's user. Returns what it printed. */
export async function runProgram(place: SandboxPlace, program: string, args: readonly string[]): Promise<string> {
  const result = await runChild({
    command: toolCommand(place.programs, program),
    args,
    env: { HOME: place.dir, LC_ALL: 'C' },
    label: program,
    signal: place.signal,
    ...(place.user ? { user: place.user } : {}),
  });
  if (place.signal.aborted) throw cancelled();
  if (result.code !== 0) throw failed(program, result.stderr || result.stdout);
  return result.stdout;
}

/** Unpacks as the sandbox's user: the files are its own then, and a path that leads out of the folder harms nobody else. */
async function unpack(place: SandboxPlace, part: RecoverableBackup['parts'][number], into: string): Promise<void> {
  const tar = spawnChild({
    command: 'tar',
    args: ['--extract', '--file=-', '--no-same-owner', '-C', into],
    env: { LC_ALL: 'C' },
    stdin: 'pipe',
    stdout: 'ignore',
    label: 'tar',
    signal: place.signal,
    ...(place.user ? { user: place.user } : {}),
  });
  let broken: unknown = null;
  if (tar.stdin) {
    const { stdin } = tar;
    await part
      .open()
      .then((stream) => pipeline(stream, stdin))
      .catch((error: unknown) => {
        broken = error;
        // A cut tar could look whole to it: what came does not count.
        stdin.destroy();
        if ((error as { code?: unknown }).code !== 'EPIPE') void tar.kill();
      });
  }
  const exit = await tar.exited;
  if (place.signal.aborted) throw cancelled();
  if (broken !== null && (broken as { code?: unknown }).code !== 'EPIPE') throw broken;
  if (exit.code !== 0 || broken !== null) throw failed(`Unpacking ${part.name}`, exit.stderr);
}

async function readSmall(part: RecoverableBackup['parts'][number]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await part.open()) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks);
}

async function unpackBackup(place: SandboxPlace, backup: RecoverableBackup, into: string): Promise<void> {
  makeOwnDir(place.user, into);
  const base = backup.parts.find((part) => part.name === BASE_PART_NAME);
  if (base === undefined)
    throw new TidemarkError('sandbox_failed', `Backup ${backup.backupId} has no ${BASE_PART_NAME}.`);
  await unpack(place, base, into);
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
