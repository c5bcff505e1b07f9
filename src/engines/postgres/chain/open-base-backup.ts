import { randomBytes } from 'node:crypto';
import { TidemarkError } from '../../../domain/errors.js';
import type { ParentBackup, ServerBackupSession } from '../../chain-engine.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import type { BackupRun } from './backup-run.js';
import { cancelled } from './backup-run.js';
import { readManifestRanges } from './backup-tap.js';
import type { OpenedSource } from './open-source.js';
import { BACKUP_APPLICATION, CLOCK, placeOf } from './open-source.js';
import { BASE_PART_NAME, MANIFEST_NAME } from './programs.js';
import { ToolBackup } from './tool-backup.js';
import { WireBackup } from './wire-backup.js';

/**
 * Keeps the log from the backup's start until the connection ends. pg_basebackup fetches it last, and a busy server recycles it before; a
 * temporary slot goes with its connection, whatever becomes of us. Without a free slot the tool itself notices log that is gone.
 */
async function holdLog(connection: DatabaseConnection, context: EngineContext): Promise<Session> {
  const holder = await connect(connection, {
    signal: context.signal,
    applicationName: BACKUP_APPLICATION,
    replication: true,
  });
  try {
    const name = `tidemark_backup_${randomBytes(6).toString('hex')}`;
    await holder.run(`CREATE_REPLICATION_SLOT ${name} TEMPORARY PHYSICAL RESERVE_WAL`);
  } catch (error) {
    // 53400: all slots are in use.
    if ((error as { code?: unknown }).code !== '53400') {
      await holder.close();
      throw mapQueryError(error, connection, `Keeping the log of ${placeOf(connection)} failed`, 'dump_failed');
    }
  }
  return holder;
}

/**
 * A full, or an incremental on `parent`, whose stream comes from one run of pg_basebackup, or from the server itself when it has
 * tablespaces. An incremental is started here, because the server refuses one before its first byte. Takes over `source` and closes it.
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
  let backup: BackupRun | null = null;
  const close = async () => {
    await backup?.stop();
    await holder?.close();
    await source.session.close();
    closing.abort();
  };
  try {
    holder = await holdLog(connection, inner);
    const Run = source.facts.tablespaces.length > 0 ? WireBackup : ToolBackup;
    const run: BackupRun = new Run(source, connection, inner, {
      label: options.label,
      parentManifest: options.parentManifest,
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
          tool: run.tool,
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
          throw new TidemarkError('dump_incomplete', `The backup of ${placeOf(connection)} was not read to its end.`);
        return settle(source, connection, inner, run.manifest, await run.endedAt);
      },
      close,
    };
  } catch (error) {
    await close();
    throw mapQueryError(error, connection, `Opening the backup of ${placeOf(connection)} failed`, 'dump_failed');
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
      ...(facts.tablespaces.length > 0 ? { tablespaces: JSON.stringify(facts.tablespaces) } : {}),
    },
  };
}

/** Over a new connection: the session may have been lost during hours of silence, which is no reason to lose the backup. */
async function readClock(connection: DatabaseConnection, context: EngineContext): Promise<string> {
  const session = await connect(connection, { signal: context.signal, applicationName: BACKUP_APPLICATION });
  try {
    return (await session.value(CLOCK)) ?? '';
  } finally {
    await session.close();
  }
}
