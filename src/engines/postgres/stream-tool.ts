import type { Transform } from 'node:stream';
import { finished } from 'node:stream/promises';
import { TidemarkError } from '../../domain/errors.js';
import type { ChildOutput } from '../../platform/child-output.js';
import { openChildOutput } from '../../platform/child-output.js';
import type { Child } from '../../platform/spawn-child.js';
import { spawnChild } from '../../platform/spawn-child.js';
import type { EngineContext } from '../engine.js';
import { toolErrorCode } from './map-error.js';
import { lastLines } from './snapshot.js';

export type StreamToolOptions = {
  /** Passes the tool's output on and looks at it; an empty chunk, written last, must pass silently. Chunks are objects: see ChildOutput. */
  readonly tap: Transform;
  /** What the output still lacks, in words; null when it is whole. Asked after the tool has ended well. */
  missing(): string | null;
  /** `pg_dump`: for messages. */
  readonly program: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What is read, fit for a message: a quoted database, a server. */
  readonly of: string;
  readonly object: string;
  /** `an archive`: what the output should have been when the tap refuses it. */
  readonly output: string;
  readonly redact: readonly string[];
  readonly context: EngineContext;
  /** The session was closed: whatever happens then is a cancel. */
  isClosed(): boolean;
  onStart?(child: Child, output: ChildOutput): void;
  /** A more exact error for what the tool said, or null. */
  explain?(stderr: string): TidemarkError | null;
};

const cancelled = () => new TidemarkError('cancelled', 'The run was cancelled.');

/**
 * Runs a tool that writes gigabytes to stdout through `tap`, which the caller reads. Resolves after the reader took everything, the tool
 * ended with 0 and nothing was missing; `tap` ends only then, and is destroyed with the error otherwise. Throws `dump_failed`,
 * `dump_incomplete`, `cancelled`, or what the tool's words mean.
 */
export async function streamTool(options: StreamToolOptions): Promise<void> {
  const { tap, context } = options;
  let output: ChildOutput | null = null;
  // The tool of a small dump is gone before anybody reads what it wrote: a cancel must not wait for a reader who gave up.
  const onAbort = () => tap.destroy(cancelled());
  context.signal.addEventListener('abort', onAbort, { once: true });
  try {
    const opened = await openChildOutput(context.scratchDir);
    output = opened;
    opened.on('error', (error) => tap.destroy(error));
    tap.once('close', () => opened.destroy());
    if (options.isClosed() || context.signal.aborted || tap.destroyed) throw cancelled();
    const child = spawnChild({
      command: options.command,
      args: options.args,
      env: options.env,
      stdout: opened,
      label: `${options.program} of ${options.of}`,
      redact: options.redact,
      signal: context.signal,
    });
    options.onStart?.(child, opened);
    opened.pipe(tap, { end: false });
    const ended = finished(opened, { writable: false }).catch(() => {});
    tap.once('close', () => {
      // The reader gave up, or the bytes were not what they should be.
      if (!tap.readableEnded) void child.kill();
    });
    const exit = await child.exited;
    if (context.signal.aborted || options.isClosed()) throw cancelled();
    if (tap.errored)
      throw new TidemarkError(
        'dump_incomplete',
        `What ${options.program} wrote is not ${options.output}: ${tap.errored.message}.`,
      );
    if (exit.code !== 0) {
      const why = exit.signal ? `it was ended by ${exit.signal}` : `exit code ${exit.code}`;
      throw (
        options.explain?.(exit.stderr) ??
        new TidemarkError(
          toolErrorCode(exit.stderr, 'dump_failed'),
          `${options.program} of ${options.of} failed (${why}): ${lastLines(exit.stderr) || 'it gave no reason'}`,
          { object: options.object },
        )
      );
    }
    const broken = finished(tap, { writable: false }).catch(() => {});
    await Promise.race([ended, broken]);
    // A slow reader leaves bytes waiting in front of the tap: without this a good dump would be taken for a cut one.
    await Promise.race([new Promise<void>((resolve) => tap.write(Buffer.alloc(0), () => resolve())), broken]);
    const missing = options.missing();
    if (missing !== null)
      throw new TidemarkError('dump_incomplete', `${options.program} of ${options.of} ended early: ${missing}.`);
    tap.end();
    await finished(tap);
  } catch (error) {
    if (!tap.destroyed) tap.destroy(error instanceof Error ? error : undefined);
    throw context.signal.aborted ? cancelled() : error;
  } finally {
    context.signal.removeEventListener('abort', onAbort);
    output?.destroy();
  }
}
