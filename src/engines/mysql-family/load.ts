import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import { spawnChild } from '../../platform/spawn-child.js';
import type { DatabaseConnection } from '../engine.js';
import type { Brand } from './brand.js';
import { DumpTail } from './dump-tail.js';
import { placeOf, toToolError } from './failures.js';
import { quoteText } from './quote.js';
import { DumpRewriter } from './rewrite-dump.js';
import type { StagedEvents } from './stage-events.js';
import { disableEvents } from './stage-events.js';

export type LoadPart = { readonly name: string; open(): Promise<Readable> };

export type LoadOptions = {
  readonly brand: Brand;
  readonly command: string;
  readonly optionFile: string;
  readonly connection: DatabaseConnection;
  /** Database to load into; null for parts that say themselves which they use. */
  readonly database: string | null;
  /** User-level lock that tells a later attempt which connection loads. */
  readonly lockName: string;
  readonly signal: AbortSignal;
};

/** What the client prints at most before it is taken for broken, in bytes. */
const MAX_OUTPUT = 1024 * 1024;

/** Feeds one part to the engine's client and checks its exit code, its end marker, and that its last statement was reached. */
async function feed(options: LoadOptions, name: string, source: Readable): Promise<void> {
  const { brand } = options;
  const connection =
    options.database === null ? options.connection : { ...options.connection, database: options.database };
  const child = spawnChild({
    command: options.command,
    args: [
      `--defaults-file=${options.optionFile}`,
      '--batch',
      '--skip-column-names',
      // Else NUL bytes are refused, line ends changed, and lines of data could be commands of the client.
      '--binary-mode',
      // Else comments inside routines would be lost.
      '--comments',
      '--default-character-set=utf8mb4',
      '--max-allowed-packet=1G',
      ...brand.clientFlags,
      ...(options.database === null ? [] : ['--', options.database]),
    ],
    env: {},
    label: `${brand.clientProgram} into ${connection.database}`,
    redact: [connection.password],
    stdin: 'pipe',
    signal: options.signal,
  });
  // Printed by the last statement of all: a part that ends inside a string or another delimiter never gets there.
  const reached = randomBytes(12).toString('hex');
  let printed = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    printed = (printed + chunk.toString('latin1')).slice(-MAX_OUTPUT);
  });
  const tail = new DumpTail();
  let unreadable: unknown = null;
  async function* whole(): AsyncGenerator<Buffer> {
    const rewriter = new DumpRewriter();
    yield Buffer.from(`DO GET_LOCK(${quoteText(options.lockName)}, 5);\nSET SESSION wait_timeout = 86400;\n`);
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        tail.add(chunk);
        yield* rewriter.push(chunk);
      }
    } catch (error) {
      // What was sent so far must not be taken for the whole.
      unreadable = error;
      void child.kill('SIGKILL');
      return;
    }
    yield* rewriter.flush();
    yield Buffer.from(`\nSELECT '${reached}';\n`);
  }
  let broken: unknown = null;
  if (child.stdin) {
    await pipeline(Readable.from(whole(), { objectMode: false }), child.stdin).catch((error: unknown) => {
      broken = error;
    });
  }
  source.destroy();
  const exit = await child.exited;
  if (options.signal.aborted) {
    throw new TidemarkError('cancelled', `Loading into ${connection.database} was cancelled.`);
  }
  // What broke the source says more than the client's end.
  if (isTidemarkError(unreadable)) throw unreadable;
  if (unreadable !== null) {
    const why = unreadable instanceof Error ? unreadable.message : 'it broke off';
    throw new TidemarkError('load_failed', `Reading ${name} failed: ${why}`, { object: name }, { cause: unreadable });
  }
  if (exit.code !== 0) {
    throw toToolError(exit.stderr, connection, `Loading ${name} failed`, 'load_failed');
  }
  if (broken !== null || !printed.includes(reached) || !tail.endsWithMarker()) {
    throw new TidemarkError(
      'load_failed',
      `Loading ${name} into ${placeOf(connection)} failed: the part is not complete.`,
      { object: name },
    );
  }
}

/** Largest events part that is held in memory to be rewritten, in bytes. */
const MAX_EVENTS_BYTES = 256 * 1024 * 1024;

async function readEvents(source: Readable): Promise<StagedEvents> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_EVENTS_BYTES) throw new TidemarkError('load_failed', 'The events part is too large.');
      chunks.push(chunk);
    }
  } catch (error) {
    if (isTidemarkError(error)) throw error;
    const why = error instanceof Error ? error.message : 'it broke off';
    throw new TidemarkError('load_failed', `Reading the events part failed: ${why}`, {}, { cause: error });
  }
  return disableEvents(Buffer.concat(chunks));
}

/**
 * Loads the parts in order. With `holdEvents` every event is created disabled; the names of those that were enabled are returned.
 * Errors: `load_failed` and what the source of a part throws (`object_corrupt` …).
 */
export async function loadParts(
  options: LoadOptions,
  parts: readonly LoadPart[],
  holdEvents: boolean,
): Promise<readonly string[]> {
  const enabled: string[] = [];
  for (const part of parts) {
    const source = await part.open();
    if (holdEvents && part.name === 'events.sql') {
      const staged = await readEvents(source);
      enabled.push(...staged.enabled);
      await feed(options, part.name, Readable.from([staged.sql], { objectMode: false }));
    } else await feed(options, part.name, source);
  }
  return enabled;
}
