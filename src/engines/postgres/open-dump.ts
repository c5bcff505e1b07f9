import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
import type { ChildOutput } from '../../platform/child-output.js';
import type { Child } from '../../platform/spawn-child.js';
import type { DatabaseConnection, DumpPart, DumpSession, EngineContext } from '../engine.js';
import { toolCommand } from '../shared/find-tools.js';
import type { ArchiveEntry } from './archive-scan.js';
import { ArchiveTap } from './archive-scan.js';
import { connect, textSettings } from './connect.js';
import { mapQueryError } from './map-error.js';
import { quoteName } from './quote.js';
import { displayName, readFingerprint, readSequences, USER_SCHEMAS } from './read-fingerprint.js';
import { readServer } from './server.js';
import type { Snapshot } from './snapshot.js';
import { LOCK_WAIT_MS } from './snapshot.js';
import { streamTool } from './stream-tool.js';
import { findPostgresTools, libpqEnvironment } from './tools.js';

export const DUMP_PART_NAME = 'dump.pgc';

type Sequences = Fingerprint['sequences'];

/**
 * Opens a consistent view of the database: one transaction exports its snapshot; pg_dump and the fingerprint's sessions read through it.
 */
export async function openPostgresDump(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { fingerprint: boolean },
): Promise<DumpSession> {
  const applicationName = 'tidemark dump';
  const closing = new AbortController();
  const inner: EngineContext = { ...context, signal: AbortSignal.any([context.signal, closing.signal]) };
  const holder = await connect(connection, {
    signal: inner.signal,
    applicationName,
    // Even asking for a table's size waits behind somebody who alters it.
    settings: { lock_timeout: String(LOCK_WAIT_MS) },
  });
  try {
    for (const setting of textSettings) await holder.run(setting);
    const { server, isReplica } = await readServer(holder);
    const tools = await findPostgresTools(server.major, context.toolRoots);
    // Read before the snapshot: see settleSequences.
    const sequencesBefore = options.fingerprint ? await readSequences(holder) : [];
    await holder.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const [at] = await holder.rows(`
      SELECT pg_catalog.pg_export_snapshot() AS snapshot,
        (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END)::text AS lsn,
        (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())::text AS timeline,
        pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS taken_at,
        (SELECT pg_catalog.sum(pg_catalog.pg_table_size(c.oid)) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ${USER_SCHEMAS})::text AS bytes`);
    const snapshot: Snapshot = {
      holder,
      name: at?.snapshot ?? '',
      server,
      isReplica,
      tools,
      applicationName,
      database: connection.database,
      settings: {},
    };
    const dump = new ArchiveDump(snapshot, connection, inner);
    const prints = new Set<Promise<unknown>>();
    return {
      server,
      position: { lsn: at?.lsn ?? '', timeline: Number(at?.timeline ?? 0) },
      takenAt: at?.taken_at ?? new Date().toISOString(),
      estimatedBytes: at?.bytes == null ? null : Number(at.bytes),
      fingerprintUnavailable: options.fingerprint ? null : 'Not asked for.',
      parts: [dump.part],
      fingerprint: async (onTable) => {
        if (!options.fingerprint)
          throw new TidemarkError('not_supported', 'The dump was opened without a fingerprint.');
        // Not before pg_dump holds its locks: a TRUNCATE between our reading and its lock would empty the table for it, and only for it.
        const contents = await dump.contentsOrNever();
        if (dump.closed) throw cancelled();
        const reading = readFingerprint({ snapshot, connection, context: inner, onTable });
        prints.add(reading);
        const print = await reading;
        return { ...print, sequences: settleSequences(sequencesBefore, contents, print.sequences) };
      },
      close: async () => {
        await dump.stop();
        await holder.close();
        // Ends a fingerprint that is still being read. Last: a socket cut off under an open transaction is a line in the server's log.
        closing.abort();
        await Promise.allSettled(prints);
      },
    };
  } catch (error) {
    await holder.close();
    throw mapQueryError(
      error,
      connection,
      `Opening the snapshot of ${quoteName(connection.database)} failed`,
      'dump_failed',
    );
  }
}

/** How long a fingerprint waits for the dump to start, in milliseconds; a caller that wants a fingerprint alone gets it then. */
const DUMP_START_WAIT_MS = 2_000;

function cancelled(): TidemarkError {
  return new TidemarkError('cancelled', 'The run was cancelled.');
}

class ArchiveDump {
  readonly part: DumpPart;
  private child: Child | null = null;
  private output: ChildOutput | null = null;
  private started: Promise<void>;
  private markStarted: () => void = () => {};
  private contents: Promise<readonly ArchiveEntry[] | null>;
  private tellContents: (entries: readonly ArchiveEntry[] | null) => void = () => {};
  private readonly snapshot: Snapshot;
  private readonly connection: DatabaseConnection;
  private readonly context: EngineContext;
  closed = false;

  constructor(snapshot: Snapshot, connection: DatabaseConnection, context: EngineContext) {
    this.snapshot = snapshot;
    this.connection = connection;
    this.context = context;
    this.started = new Promise((resolve) => {
      this.markStarted = resolve;
    });
    this.contents = new Promise((resolve) => {
      this.tellContents = resolve;
    });
    this.part = {
      name: DUMP_PART_NAME,
      tool: { name: 'pg_dump', version: snapshot.tools.version },
      start: () => this.start(),
    };
  }

  /** The archive's table of contents; null when no dump was started or it failed. */
  async contentsOrNever(): Promise<readonly ArchiveEntry[] | null> {
    const timeout = new Promise<'timeout'>((resolve) => setTimeout(() => resolve('timeout'), DUMP_START_WAIT_MS));
    const first = await Promise.race([this.started, timeout]);
    return first === 'timeout' ? null : this.contents;
  }

  async stop(): Promise<void> {
    this.closed = true;
    this.tellContents(null);
    await this.child?.kill();
  }

  private start(): ReturnType<DumpPart['start']> {
    const tap = new ArchiveTap((entries) => this.tellContents(entries));
    this.markStarted();
    // Whoever reads it gets the error too; one that nobody reads yet must not end the process.
    tap.on('error', () => {});
    const done = this.run(tap).finally(() => this.tellContents(null));
    // The caller may await it only after it has read stdout to the end.
    done.catch(() => {});
    return { stdout: tap, done, release: (chunk) => this.output?.giveBack(chunk) };
  }

  private async run(tap: ArchiveTap): Promise<void> {
    const { snapshot, connection, context } = this;
    let cleanUp = async () => {};
    try {
      const environment = await libpqEnvironment(connection, context, snapshot);
      cleanUp = environment.cleanUp;
      await streamTool({
        tap,
        missing: () => tap.scanner.missing(),
        program: 'pg_dump',
        command: toolCommand(snapshot.tools, 'pg_dump'),
        // Uncompressed: zstd follows, and packs better what nothing has packed before.
        args: [
          '--format=custom',
          '--compress=0',
          '--no-password',
          `--snapshot=${snapshot.name}`,
          `--lock-wait-timeout=${LOCK_WAIT_MS}`,
        ],
        env: environment.env,
        of: quoteName(snapshot.database),
        object: snapshot.database,
        redact: [connection.password],
        context,
        isClosed: () => this.closed,
        onStart: (child, output) => {
          this.child = child;
          this.output = output;
        },
        output: 'an archive',
      });
    } catch (error) {
      if (!tap.destroyed) tap.destroy(error instanceof Error ? error : undefined);
      throw error;
    } finally {
      await cleanUp();
    }
  }
}

/**
 * Sequences move outside transactions, so no snapshot holds their values: pg_dump reads them a moment after us. A value that is the
 * same before and after pg_dump read it is certain. For one that moved meanwhile the archive's own value counts, provided that it
 * lies between the two; otherwise the value read from the source stays and a comparison will show it.
 */
export function settleSequences(
  before: Sequences,
  contents: readonly ArchiveEntry[] | null,
  after: Sequences,
): Sequences {
  if (contents === null) return after;
  const early = new Map(before.map((sequence) => [sequence.name, sequence]));
  const dumped = new Map<string, { lastValue: string; isCalled: boolean }>();
  for (const entry of contents) {
    const set = /, (-?\d+), (true|false)\);\s*$/.exec(entry.definition ?? '');
    if (set?.[1] !== undefined)
      dumped.set(displayName(entry.schema ?? '', entry.name), { lastValue: set[1], isCalled: set[2] === 'true' });
  }
  return after.map((late) => {
    const first = early.get(late.name);
    const inDump = dumped.get(late.name);
    if (!first || !inDump || (first.lastValue === late.lastValue && first.isCalled === late.isCalled)) return late;
    const bounds = [BigInt(first.lastValue ?? 0), BigInt(late.lastValue ?? 0)];
    const value = BigInt(inDump.lastValue);
    const [low, high] = (bounds[0] ?? 0n) <= (bounds[1] ?? 0n) ? bounds : bounds.reverse();
    const isBetween = value >= (low ?? 0n) && value <= (high ?? 0n);
    return isBetween ? { ...late, ...inDump } : late;
  });
}
