import { pipeline } from 'node:stream/promises';
import { runChild } from '../../../platform/run-child.js';
import { spawnChild } from '../../../platform/spawn-child.js';
import { PIECE_BYTES } from '../../../platform/write-pieces.js';
import type { RecoverablePart } from '../../chain-engine.js';
import type { SandboxPlace } from './sandbox-place.js';
import { cancelled, failed } from './sandbox-place.js';

/** Of 512 bytes, in what tar reads and writes at a time. Its own twenty are one read of the pipe each. */
const RECORD_BLOCKS = PIECE_BYTES / 512;

let zstdFound: boolean | null = null;

/** Whether the zstd program is installed here. Remembered for the life of the process. */
export async function hasZstd(): Promise<boolean> {
  if (zstdFound !== null) return zstdFound;
  const result = await runChild({
    command: 'zstd',
    args: ['--version'],
    env: {},
    label: 'zstd --version',
    timeoutMs: 20_000,
  });
  // A probe that was too slow says nothing about the next one.
  if (result.stoppedBecause === null) zstdFound = result.code === 0;
  return result.code === 0;
}

/**
 * Unpacks a tar file of a backup as the sandbox's user: the files are its own then, and a path that leads out of the folder harms nobody
 * else. `by: 'zstd'` lets tar run the zstd program, beside this process; what is unpacked is then verified by the caller, file by file.
 * `by: 'here'` decompresses and hashes in this process, which takes about twice as long.
 */
export async function unpackPart(
  place: SandboxPlace,
  part: RecoverablePart,
  into: string,
  by: 'zstd' | 'here',
): Promise<void> {
  const tar = spawnChild({
    command: 'tar',
    args: [
      '--extract',
      '--file=-',
      `--blocking-factor=${RECORD_BLOCKS}`,
      ...(by === 'zstd' ? ['--use-compress-program=zstd'] : []),
      '--no-same-owner',
      ...['-C', into],
    ],
    env: { LC_ALL: 'C' },
    stdin: 'pipe',
    stdout: 'ignore',
    label: 'tar',
    signal: place.signal,
    ...(place.user ? { user: place.user } : {}),
  });
  let unreadable: unknown = null;
  let isCut = false;
  if (tar.stdin) {
    const { stdin } = tar;
    let hasTarFailed = false;
    try {
      const packed = await (by === 'zstd' ? part.openPacked(place.signal) : part.open(place.signal));
      // Whichever fails first is the cause; the pipeline ends the other one with the same error.
      packed.once('error', (error) => {
        if (!hasTarFailed) unreadable = error;
      });
      const tarFailed = () => {
        hasTarFailed = true;
      };
      stdin.once('error', tarFailed).once('close', tarFailed);
      await pipeline(packed, stdin);
    } catch (error) {
      isCut = true;
      // Nothing was opened.
      if (!stdin.destroyed) unreadable = error;
      // A cut tar could look whole to it: what came does not count.
      stdin.destroy();
      if (unreadable !== null) void tar.kill();
    }
  }
  const exit = await tar.exited;
  if (place.signal.aborted) throw cancelled();
  if (unreadable !== null) throw unreadable;
  if (exit.code === 0 && !isCut) return;
  const failure = failed(`Unpacking ${part.name}`, exit.stderr);
  // The program may have met damage in the store before we did, and damage is what another backup can be chosen for.
  if (failure.code === 'sandbox_failed' && by === 'zstd') await readToEnd(part, place.signal);
  throw failure;
}

async function readToEnd(part: RecoverablePart, signal: AbortSignal): Promise<void> {
  for await (const _ of await part.openPacked(signal));
}
