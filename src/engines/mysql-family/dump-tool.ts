import type { Readable } from 'node:stream';
import { Transform } from 'node:stream';
import { TidemarkError } from '../../domain/errors.js';
import type { ChildOutput } from '../../platform/child-output.js';
import { spawnChild } from '../../platform/spawn-child.js';
import type { DatabaseConnection } from '../engine.js';
import type { Brand } from './brand.js';
import { DumpTail } from './dump-tail.js';
import { placeOf, toToolError } from './failures.js';
import { DumpRewriter } from './rewrite-dump.js';

/** Passes bytes on, mended where they need it, and remembers the last ones. */
class DumpText extends Transform {
  readonly tail = new DumpTail();
  private readonly rewriter: DumpRewriter | null;
  private readonly giveBack: (chunk: Buffer) => void;

  /** `giveBack` gets what was read, once it is copied: only where something is mended. */
  constructor(mend: boolean, giveBack: (chunk: Buffer) => void) {
    // Chunk by chunk: whoever reads a stream of bytes gets all that waits joined into a new buffer.
    super({ writableHighWaterMark: 1024 * 1024, readableObjectMode: true, readableHighWaterMark: 1 });
    this.rewriter = mend ? new DumpRewriter() : null;
    this.giveBack = giveBack;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    if (this.rewriter === null) this.passOn([chunk]);
    else {
      this.passOn(this.rewriter.push(chunk));
      this.giveBack(chunk);
    }
    callback();
  }

  override _flush(callback: () => void): void {
    this.passOn(this.rewriter?.flush() ?? []);
    callback();
  }

  private passOn(chunks: readonly Buffer[]): void {
    for (const chunk of chunks) {
      this.tail.add(chunk);
      this.push(chunk);
    }
  }
}

/** Printed by `--verbose` only after START TRANSACTION WITH CONSISTENT SNAPSHOT has been answered. */
const SNAPSHOT_OPEN = /^-- (?:Setting savepoint|Retrieving|Sending|Releasing savepoint|Disconnecting)/;

export type RunningDump = {
  /** Must be consumed. */
  readonly stdout: Readable;
  /** See StartedPart. */
  readonly release: (chunk: Buffer) => void;
  /** Resolves when the tool's own snapshot is open; rejects when it ended before. */
  readonly snapshotOpen: Promise<void>;
  /** See DumpPart.start(). */
  readonly done: Promise<void>;
  kill(): Promise<void>;
};

const commonFlags = [
  '--single-transaction',
  '--quick',
  '--hex-blob',
  '--no-tablespaces',
  '--default-character-set=utf8mb4',
  '--max-allowed-packet=1G',
  '--verbose',
];

/** What each part holds. Events are kept apart, because they would fire in a staging database on the target. */
export const partFlags = {
  'dump.sql': ['--triggers', '--routines', '--skip-events'],
  /** Followed by `triggers.sql`: what comes between them must not fire any. */
  'dump.sql without triggers': ['--skip-triggers', '--routines', '--skip-events'],
  'triggers.sql': ['--no-data', '--no-create-info', '--triggers', '--skip-routines', '--skip-events'],
  'events.sql': ['--no-data', '--no-create-info', '--skip-triggers', '--skip-routines', '--events'],
} as const;
export type PartName = keyof typeof partFlags;
const tails: Partial<Record<PartName, true>> = { 'triggers.sql': true, 'events.sql': true };

export type DumpToolOptions = {
  readonly brand: Brand;
  readonly command: string;
  readonly optionFile: string;
  readonly connection: DatabaseConnection;
  /** Several databases, each with the statements that create and use it; left out: the connection's, without them. */
  readonly databases?: readonly string[];
  readonly part: PartName;
  readonly versionedTables: boolean;
  /** See `needsMending`. */
  readonly mend: boolean;
  /** For parts that hold rows; left out for short ones. */
  readonly output?: ChildOutput;
  readonly signal: AbortSignal;
};

/** Starts the engine's dump tool for one part. */
export function startDumpTool(options: DumpToolOptions): RunningDump {
  const { brand, connection } = options;
  let opened = () => {};
  let refused = (_error: unknown) => {};
  const snapshotOpen = new Promise<void>((resolve, reject) => {
    opened = resolve;
    refused = reject;
  });
  snapshotOpen.catch(() => {});
  const child = spawnChild({
    command: options.command,
    // --defaults-file must come first; `--` keeps a database name that begins with a dash from being an option.
    args: [
      `--defaults-file=${options.optionFile}`,
      ...commonFlags,
      ...brand.dumpFlags({ versionedTables: options.versionedTables }),
      ...partFlags[options.part],
      // The first part has created them.
      ...(options.databases && options.part in tails ? ['--no-create-db'] : []),
      ...(options.databases ? ['--databases', '--', ...options.databases] : ['--', connection.database]),
    ],
    env: {},
    stdout: options.output ?? 'pipe',
    label: `${brand.dumpProgram} of ${connection.database}`,
    redact: [connection.password],
    signal: options.signal,
    onLine: (line) => {
      if (SNAPSHOT_OPEN.test(line)) opened();
    },
  });
  const giveBack = (chunk: Buffer) => options.output?.giveBack(chunk);
  const out = new DumpText(options.mend, giveBack);
  const what = `${brand.dumpProgram} failed`;
  if (child.stdout) {
    child.stdout.pipe(out);
    child.stdout.once('error', (error) => out.destroy(error));
  } else out.end();

  const cancelled = () => new TidemarkError('cancelled', `The dump of ${placeOf(connection)} was cancelled.`);
  const run = async () => {
    const exit = await child.exited;
    const failed = exit.code !== 0 || exit.stopped;
    if (failed) {
      const error = options.signal.aborted
        ? cancelled()
        : toToolError(exit.stderr || `ended by ${exit.signal ?? exit.code}`, connection, what, 'dump_failed');
      refused(error);
      out.destroy(error);
      throw error;
    }
    opened();
    // The tool of a small dump is gone before anybody reads what it wrote: a cancel must not wait for a reader who gave up.
    const onAbort = () => out.destroy(cancelled());
    if (options.signal.aborted) onAbort();
    options.signal.addEventListener('abort', onAbort, { once: true });
    await new Promise<void>((resolve, reject) => {
      if (out.readableEnded) resolve();
      out.once('end', resolve);
      out.once('error', reject);
      out.once('close', () =>
        out.readableEnded ? resolve() : reject(new Error('the output was not read to its end')),
      );
    })
      .catch((error: unknown) => {
        if (options.signal.aborted) throw cancelled();
        throw new TidemarkError(
          'dump_failed',
          `${what} (${placeOf(connection)}): its output was cut off.`,
          {},
          { cause: error },
        );
      })
      .finally(() => options.signal.removeEventListener('abort', onAbort));
    if (!out.tail.endsWithMarker()) {
      throw new TidemarkError(
        'dump_incomplete',
        `${brand.dumpProgram} of ${placeOf(connection)} ended without its line "-- Dump completed".`,
        { object: connection.database },
      );
    }
  };
  const done = run();
  done.catch(() => {});
  // An error of the stream reaches whoever reads it; unread it must not end the process.
  out.on('error', () => {});
  out.once('close', () => options.output?.destroy());
  return {
    stdout: out,
    // What was mended is a copy of its own.
    release: options.mend ? () => {} : giveBack,
    snapshotOpen,
    done,
    kill: async () => {
      await child.kill('SIGKILL');
      out.destroy();
    },
  };
}
