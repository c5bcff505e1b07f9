/**
 * Runs an engine's follower and keeps what it hands out as log files in a folder: a store without slices, for tests of archives and of
 * recovery. A chunk counts as durable once it lies in its file, and is acknowledged then.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { LogPosition, ServerIdentity } from '../../src/domain/positions.js';
import type { ChainEngine } from '../../src/engines/chain-engine.js';
import type { DatabaseConnection, EngineContext } from '../../src/engines/engine.js';
import type { LogChunk, LogFollower, LogFollowerOptions } from '../../src/engines/log-follower.js';
import { until } from './until.js';

export type FolderArchive = {
  readonly follower: LogFollower;
  /** All chunks that this run wrote, in order, without their bytes. */
  readonly chunks: readonly Omit<LogChunk, 'body'>[];
  /** To here the folder has the log; null before the first chunk. */
  position(): LogPosition | null;
  /** Log files in the order in which they were first written; the last one may be cut. */
  files(): { name: string; bytes: number }[];
  /** Waits until the folder has everything that is in the source's log now; returns the source's clock at that end. */
  catchUp(): Promise<{ clock: string; position: LogPosition }>;
  /** What ended the run by itself, as soon as something has. */
  failure(): unknown;
  /** Ends the follower as an orderly worker does. */
  stop(): Promise<void>;
};

/** What the folder holds in the order in which it came: survives runs, as a store does. */
type Kept = { order: string[]; last: { file: string; end: LogPosition } | null; server: ServerIdentity | null };
const kept = new Map<string, Kept>();

/** What a follower needs to go on where the folder ends; null for an empty one. */
export function resumeFrom(dir: string): LogFollowerOptions['resume'] {
  const state = kept.get(dir);
  if (!state?.last || !state.server) return null;
  const { order } = state;
  const content = readFileSync(join(dir, state.last.file));
  return {
    cursor: { file: state.last.file, offset: content.length },
    position: state.last.end,
    server: state.server,
    prefixSha256: createHash('sha256').update(content).digest('hex'),
    readBack: async function* () {
      for (const file of [...order].reverse()) yield { file, content: createReadStream(join(dir, file)) };
    },
  };
}

/** Starts following into `dir` (created), from where an earlier run into it ended. */
export async function archiveToFolder(options: {
  readonly engine: Pick<ChainEngine, 'openFollower' | 'readLogEnd' | 'comparePositions'>;
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly slot: string;
  /** The store. */
  readonly dir: string;
  readonly spoolDir: string;
  readonly spoolLimitBytes?: number;
  /** False: chunks are kept, but the source is not told. */
  readonly acknowledge?: boolean;
  /** As LogFollowerOptions. */
  readonly successor?: boolean;
}): Promise<FolderArchive> {
  const { engine, connection, context, slot, dir } = options;
  mkdirSync(dir, { recursive: true });
  const state: Kept = kept.get(dir) ?? { order: [], last: null, server: null };
  kept.set(dir, state);
  const follower = await engine.openFollower(connection, context, {
    slot,
    spoolDir: options.spoolDir,
    spoolLimitBytes: options.spoolLimitBytes ?? 1024 ** 3,
    resume: resumeFrom(dir),
    successor: options.successor === true,
  });
  const chunks: Omit<LogChunk, 'body'>[] = [];
  const stopping = new AbortController();
  let failure: unknown = null;
  const work = async () => {
    while (!stopping.signal.aborted) {
      const chunk = await follower.next({ waitMs: 500, signal: stopping.signal });
      if (!chunk) continue;
      append(dir, chunk);
      if (!state.order.includes(chunk.file)) state.order.push(chunk.file);
      state.last = { file: chunk.file, end: chunk.end };
      state.server = follower.server;
      const { body: _, ...rest } = chunk;
      chunks.push(rest);
      if (options.acknowledge !== false) await follower.acknowledge(chunk);
    }
  };
  const working = work().catch((error: unknown) => {
    if (!stopping.signal.aborted) failure = error;
  });
  const position = () => state.last?.end ?? null;
  return {
    follower,
    chunks,
    position,
    files: () => state.order.map((name) => ({ name, bytes: statSync(join(dir, name)).size })),
    catchUp: async () => {
      const told = await engine.readLogEnd(connection, context);
      const { clock } = told;
      const end = follower.inStore?.(told.position) ?? told.position;
      await until(
        () => {
          if (failure) throw failure;
          const at = position();
          return at !== null && engine.comparePositions(at, end) >= 0;
        },
        `the archive to reach ${JSON.stringify(end)}; it is at ${JSON.stringify(position())}: ${JSON.stringify(follower.state())}`,
      );
      return { clock, position: end };
    },
    failure: () => failure,
    stop: async () => {
      stopping.abort();
      await working;
      await follower.close();
    },
  };
}

function append(dir: string, chunk: LogChunk): void {
  const path = join(dir, chunk.file);
  const size = readdirSync(dir).includes(chunk.file) ? statSync(path).size : 0;
  // A chunk that does not begin where its file ends would be a hole, or bytes given twice.
  if (size !== chunk.offset)
    throw new Error(`${chunk.file} has ${size} bytes, the next chunk begins at ${chunk.offset}`);
  const file = openSync(path, 'a');
  try {
    writeSync(file, chunk.body);
  } finally {
    closeSync(file);
  }
}
