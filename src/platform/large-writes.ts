import { runChild } from './run-child.js';

/** About what the socket between two processes holds. Pieces of 64 KiB and of 1 MiB took the same processor time. */
const STDBUF = ['stdbuf', '-o256K', '--'] as const;

const launchers = new Map<string, readonly string[]>();

/**
 * What to put before `command`, for `openChildOutput`, so that it writes its standard output in pieces of 256 KiB instead of the C
 * library's 4 KiB: each write costs a system call and wakes the reader.
 *
 * Only for a program that uses stdio and whose first bytes nobody waits for. Empty where it does not work: coreutils' `stdbuf` is absent,
 * or the library that it preloads does not suit the loader of a program that brings its own. `command` must know `--version`, with which
 * that is tried. Remembered for the life of the process.
 */
export async function largeWrites(command: string): Promise<readonly string[]> {
  const known = launchers.get(command);
  if (known !== undefined) return known;
  const [program, ...args] = STDBUF;
  const result = await runChild({
    command: program,
    args: [...args, command, '--version'],
    env: {},
    label: `${command} --version`,
    timeoutMs: 20_000,
    maxStdoutBytes: 64 * 1024,
  });
  // What the loader ignores it complains about, and would again in every dump.
  const works = result.code === 0 && result.stdout !== '' && result.stderr === '';
  const launcher = works ? STDBUF : [];
  // A probe that was too slow says nothing about the next one.
  if (result.stoppedBecause === null) launchers.set(command, launcher);
  return launcher;
}
