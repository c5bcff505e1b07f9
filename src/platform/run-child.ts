import { pipeline } from 'node:stream/promises';
import type { ChildExit, SpawnChildOptions } from './spawn-child.js';
import { spawnChild } from './spawn-child.js';

export interface RunChildOptions extends Omit<SpawnChildOptions, 'stdin' | 'stdout' | 'logFile'> {
  /** Written to the child's stdin, then closed. Without it stdin is /dev/null. */
  readonly input?: string | Buffer;
  /** More output than this stops the child; default 16 MiB. */
  readonly maxStdoutBytes?: number;
  /** Stops the child after this time, in milliseconds; default none. */
  readonly timeoutMs?: number;
}

export interface ChildResult extends ChildExit {
  readonly stdout: string;
  /** Why it was stopped by us, if it was. */
  readonly stoppedBecause: 'timeout' | 'too_much_output' | 'aborted' | null;
}

/** Runs a short program to its end and returns what it printed. Never rejects for a failing program: look at `code`. */
export async function runChild(options: RunChildOptions): Promise<ChildResult> {
  const limit = options.maxStdoutBytes ?? 16 * 1024 * 1024;
  const child = spawnChild({ ...options, stdin: options.input === undefined ? 'ignore' : 'pipe', stdout: 'pipe' });
  let because: ChildResult['stoppedBecause'] = null;
  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > limit) {
      because ??= 'too_much_output';
      void child.kill('SIGKILL');
    } else chunks.push(chunk);
  });
  // A child that ends without reading its input closes the pipe: its exit code is the result, not our EPIPE.
  if (child.stdin && options.input !== undefined) void pipeline([options.input], child.stdin).catch(() => {});
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          because ??= 'timeout';
          void child.kill();
        }, options.timeoutMs);
  const stdoutEnded = new Promise<void>((resolve) => {
    if (!child.stdout) resolve();
    child.stdout?.once('close', () => resolve());
  });
  const exit = await child.exited;
  clearTimeout(timer);
  // Output can still be in the pipe when the process is gone; a grandchild that keeps the pipe open must not hold us.
  await Promise.race([stdoutEnded, new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  if (because === null && options.signal?.aborted && exit.stopped) because = 'aborted';
  return { ...exit, stdout: Buffer.concat(chunks).toString('utf8'), stoppedBecause: because };
}
