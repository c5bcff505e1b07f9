import { randomBytes } from 'node:crypto';
import { TidemarkError } from '../../../domain/errors.js';
import type { ServerIdentity } from '../../../domain/positions.js';
import type { ChildOutput } from '../../../platform/child-output.js';
import type { Child } from '../../../platform/spawn-child.js';
import type { ParentBackup, ServerBackupSession } from '../../chain-engine.js';
import type { DatabaseConnection, EngineContext, StartedPart } from '../../engine.js';
import type { Tools } from '../../shared/find-tools.js';
import { toolCommand } from '../../shared/find-tools.js';
import type { ScratchFile } from '../../shared/scratch-file.js';
import { writeScratchFile } from '../../shared/scratch-file.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { listNames } from '../quote.js';
import { readServer } from '../server.js';
import { streamTool } from '../stream-tool.js';
import { libpqEnvironment } from '../tools.js';
import { BackupTap, readManifestRanges } from './backup-tap.js';
import { explainRefusal } from './incremental-refusals.js';
import { findBackupTool } from './programs.js';
import type { ClusterFacts } from './read-cluster.js';
import { readCluster } from './read-cluster.js';

export const MANIFEST_NAME = 'backup_manifest';
export const BASE_PART_NAME = 'base.tar';

const APPLICATION = 'tidemark backup';

/** The source's clock; a standby's may lag behind the commits it has replayed. */
const CLOCK = `SELECT pg_catalog.to_char(GREATEST(pg_catalog.clock_timestamp(), pg_catalog.pg_last_xact_replay_timestamp())
  AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

const cancelled = () => new TidemarkError('cancelled', 'The run was cancelled.');

export type OpenedSource = {
  readonly session: Session;
  readonly server: ServerIdentity;
  readonly isReplica: boolean;
  readonly facts: ClusterFacts;
  readonly tools: Tools;
};

/** The ordinary session beside a physical backup, and what is known of the server. The caller closes the session. */
export async function openSource(connection: DatabaseConnection, context: EngineContext): Promise<OpenedSource> {
  const session = await connect(connection, { signal: context.signal, applicationName: APPLICATION });
  try {
    const { server, isReplica } = await readServer(session);
    const tools = await findBackupTool(server.major, context.toolRoots);
    const facts = await readCluster(session);
    if (facts.tablespaces.length > 0) {
      const names = listNames(facts.tablespaces.map(({ name }) => name));
      throw new TidemarkError(
        'not_supported',
        `The server has ${facts.tablespaces.length} tablespaces of its own (${names}), which pg_basebackup cannot write to a stream. A plan with dumps protects its databases.`,
        { object: `${connection.host}:${connection.port}` },
      );
    }
    return { session, server, isReplica, facts, tools };
  } catch (error) {
    await session.close();
    throw mapQueryError(error, connection, `Reading what ${place(connection)} holds failed`, 'dump_failed');
  }
}

const place = (connection: DatabaseConnection) => `the server ${connection.host}:${connection.port}`;

/**
 * Keeps the log from the backup's start until the connection ends. pg_basebackup fetches it last, and a busy server recycles it before; a
 * temporary slot goes with its connection, whatever becomes of us. Without a free slot the tool itself notices log that is gone.
 */
async function holdLog(connection: DatabaseConnection, context: EngineContext): Promise<Session> {
  const holder = await connect(connection, {
    signal: context.signal,
    applicationName: APPLICATION,
    replication: true,
  });
  try {
    const name = `tidemark_backup_${randomBytes(6).toString('hex')}`;
    await holder.run(`CREATE_REPLICATION_SLOT ${name} TEMPORARY PHYSICAL RESERVE_WAL`);
  } catch (error) {
    // 53400: all slots are in use.
    if ((error as { code?: unknown }).code !== '53400') {
      await holder.close();
      throw mapQueryError(error, connection, `Keeping the log of ${place(connection)} failed`, 'dump_failed');
    }
  }
  return holder;
}

/** One line of at most 200 characters: it becomes a line of `backup_label`, and the server refuses long ones. */
const labelText = (label: string) => label.replace(/[\0-\x1f]/g, ' ').slice(0, 200) || 'tidemark';

/** One run of pg_basebackup. */
class BaseBackup {
  child: Child | null = null;
  closed = false;
  endedAt: Promise<string | null> | null = null;
  private output: ChildOutput | null = null;
  private started: StartedPart | null = null;
  private readonly tap: BackupTap;
  /** Resolves with the first bytes: until then the server may still refuse. */
  readonly flowing: Promise<void>;
  private readonly source: OpenedSource;
  private readonly connection: DatabaseConnection;
  private readonly context: EngineContext;
  private readonly options: { readonly label: string; readonly parentManifest: string | null };

  constructor(
    source: OpenedSource,
    connection: DatabaseConnection,
    context: EngineContext,
    options: { readonly label: string; readonly parentManifest: string | null },
  ) {
    this.source = source;
    this.connection = connection;
    this.context = context;
    this.options = options;
    let flows = () => {};
    this.flowing = new Promise((resolve) => {
      flows = resolve;
    });
    this.tap = new BackupTap({
      onFirstBytes: flows,
      onLog: () => {
        // The server ended the backup just now; afterwards it only sends log, which may take long.
        this.endedAt ??= source.session.value(CLOCK).catch(() => null);
      },
    });
    // Whoever reads it gets the error too; one that nobody reads yet must not end the process.
    this.tap.on('error', () => {});
  }

  get manifest(): Buffer | null {
    return this.tap.manifest;
  }

  start(): StartedPart {
    if (this.started === null) {
      const done = this.run();
      // The caller may await it only after it has read stdout to the end.
      done.catch(() => {});
      this.started = { stdout: this.tap, done, release: (chunk) => this.output?.giveBack(chunk) };
    }
    return this.started;
  }

  async stop(): Promise<void> {
    this.closed = true;
    if (!this.tap.readableEnded) this.tap.destroy();
    await this.child?.kill();
  }

  private async run(): Promise<void> {
    const { connection, context, source, options } = this;
    const environment = await libpqEnvironment(connection, context, {
      applicationName: APPLICATION,
      database: connection.database,
    });
    try {
      await streamTool({
        tap: this.tap,
        missing: () => this.tap.missing(),
        program: 'pg_basebackup',
        command: toolCommand(source.tools, 'pg_basebackup'),
        args: [
          '--format=tar',
          '--pgdata=-',
          // With its own log each backup can be recovered to its end, whatever became of the archive.
          '--wal-method=fetch',
          '--checkpoint=fast',
          '--no-password',
          `--label=${labelText(options.label)}`,
          ...(options.parentManifest === null ? [] : [`--incremental=${options.parentManifest}`]),
        ],
        env: environment.env,
        of: place(connection),
        object: `${connection.host}:${connection.port}`,
        redact: [connection.password],
        context,
        isClosed: () => this.closed,
        onStart: (child, output) => {
          this.child = child;
          this.output = output;
        },
        output: 'a base backup',
        ...(options.parentManifest === null ? {} : { explain: explainRefusal }),
      });
    } finally {
      await environment.cleanUp();
    }
  }
}

/**
 * A full, or an incremental on `parent`, whose stream comes from one run of pg_basebackup. For an incremental the tool is started here,
 * because the server refuses one before its first byte. Takes over `source` and closes it.
 */
export async function openBaseBackup(
  source: OpenedSource,
  connection: DatabaseConnection,
  context: EngineContext,
  options: { readonly label: string; readonly parent: ParentBackup | null; readonly parentManifest: Buffer | null },
): Promise<ServerBackupSession> {
  const closing = new AbortController();
  const inner: EngineContext = { ...context, signal: AbortSignal.any([context.signal, closing.signal]) };
  let holder: Session | null = null;
  let manifestFile: ScratchFile | null = null;
  let backup: BaseBackup | null = null;
  const close = async () => {
    await backup?.stop();
    await holder?.close();
    await source.session.close();
    closing.abort();
    await manifestFile?.remove();
  };
  try {
    holder = await holdLog(connection, inner);
    if (options.parentManifest !== null)
      manifestFile = await writeScratchFile(context.scratchDir, 'parent-manifest', options.parentManifest);
    const run = new BaseBackup(source, connection, inner, {
      label: options.label,
      parentManifest: manifestFile?.path ?? null,
    });
    backup = run;
    if (options.parent !== null) await Promise.race([run.flowing, run.start().done]);
    let finished = false;
    return {
      server: source.server,
      sourceRole: source.isReplica ? 'replica' : 'primary',
      estimatedBytes: options.parent === null ? source.facts.sizeBytes : null,
      databases: source.facts.databases,
      fingerprintUnavailable:
        'A physical backup is a copy of files, which no query can read at its position: its proof is a recovery in a sandbox.',
      fingerprint: () =>
        Promise.reject(new TidemarkError('not_supported', 'A physical backup has no fingerprint of its own.')),
      parts: [
        {
          name: BASE_PART_NAME,
          tool: { name: 'pg_basebackup', version: source.tools.version },
          start: () => {
            const started = run.start();
            void started.done.then(
              () => {
                finished = true;
              },
              () => {},
            );
            return started;
          },
        },
      ],
      finish: async () => {
        if (run.closed) throw cancelled();
        if (!finished || run.manifest === null)
          throw new TidemarkError('dump_incomplete', `The backup of ${place(connection)} was not read to its end.`);
        return settle(source, connection, inner, run.manifest, await run.endedAt);
      },
      close,
    };
  } catch (error) {
    await close();
    throw mapQueryError(error, connection, `Opening the backup of ${place(connection)} failed`, 'dump_failed');
  }
}

async function settle(
  source: OpenedSource,
  connection: DatabaseConnection,
  context: EngineContext,
  manifest: Buffer,
  endedAt: string | null,
): ReturnType<ServerBackupSession['finish']> {
  // From 17 on. A proxy may have led the tool to another server than our session.
  const identifier = /"System-Identifier": (\d+)/.exec(manifest.toString('latin1', 0, 500))?.[1];
  if (identifier !== undefined && `pg:${identifier}` !== source.server.identity)
    throw new TidemarkError(
      'server_identity_changed',
      `Two servers answer at ${connection.host}:${connection.port}: the backup is of cluster ${identifier}, the session of ${source.server.identity.slice(3)}.`,
    );
  const ranges = readManifestRanges(manifest);
  const [first, last] = [ranges[0], ranges.at(-1)];
  if (!first || !last) throw new TidemarkError('dump_incomplete', 'The backup manifest names no range of WAL.');
  const takenAt = endedAt ?? (await readClock(connection, context));
  const { facts } = source;
  return {
    startPosition: { lsn: first.start, timeline: first.timeline },
    endPosition: { lsn: last.end, timeline: last.timeline },
    takenAt,
    sidecars: [{ name: MANIFEST_NAME, body: manifest }],
    cluster: {
      takenAt,
      superuser: facts.superuser ?? '',
      locales: JSON.stringify(facts.locales),
    },
  };
}

/** Over a new connection: the session may have been lost during hours of silence, which is no reason to lose the backup. */
async function readClock(connection: DatabaseConnection, context: EngineContext): Promise<string> {
  const session = await connect(connection, { signal: context.signal, applicationName: APPLICATION });
  try {
    return (await session.value(CLOCK)) ?? '';
  } finally {
    await session.close();
  }
}
