import { mkdirSync } from 'node:fs';
import { TidemarkError } from '../../../domain/errors.js';
import type { RunAsUser } from '../../../platform/run-as.js';
import { giveTo } from '../../../platform/run-as.js';
import { runChild } from '../../../platform/run-child.js';
import type { Tools } from '../../shared/find-tools.js';
import { toolCommand } from '../../shared/find-tools.js';
import { lastLines } from '../snapshot.js';

export type SandboxPlace = {
  readonly dir: string;
  readonly data: string;
  readonly programs: Tools;
  readonly major: number;
  readonly user: RunAsUser | undefined;
  readonly signal: AbortSignal;
};

export const cancelled = () => new TidemarkError('cancelled', 'The run was cancelled.');

/** A program of the sandbox that did not do its work, in its own words. */
export function failed(doing: string, stderr: string): TidemarkError {
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
