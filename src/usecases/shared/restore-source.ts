import type { BackupRow } from '../../catalog/backups.js';
import { findBackup } from '../../catalog/backups.js';
import { findCompletedOfChain } from '../../catalog/chains.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { TidemarkError } from '../../domain/errors.js';
import { positionFault } from '../../domain/recovery-target.js';
import type { RecoveryWindow } from '../../domain/recovery-window.js';
import { windowText } from '../../domain/recovery-window.js';
import type { RestoreSource } from '../../domain/schemas/restores.js';
import type { Principal, UsecaseContext } from '../context.js';
import { requireBackup } from '../get-backup.js';
import { requireDatabase } from '../get-database.js';
import { findRecoverableChain } from '../get-recovery-window.js';
import { assertRestorable } from './assert-restorable.js';
import { invalidField, notFound } from './refusals.js';

type PointSource = Extract<RestoreSource, { kind: 'pitr' }>;

export type ResolvedSource = {
  /** For a point in time a first guess: the worker decides finally what recovery begins with. */
  readonly backup: BackupRow;
  /** Whose content is restored. */
  readonly database: BackupRow['database'];
  /** How the source is called in messages. */
  readonly text: string;
};

/**
 * Finds out what is restored. Throws `not_supported` for sources of other builds, `not_found`, `backup_not_restorable`, and
 * `outside_window` for a point that the catalog knows to lie outside.
 */
export async function resolveSource(
  context: UsecaseContext,
  principal: Principal,
  source: RestoreSource,
): Promise<ResolvedSource> {
  switch (source.kind) {
    case 'backup':
      return await ofBackup(context, principal, source);
    case 'pitr':
      return await ofPoint(context, principal, source);
    default:
      throw new TidemarkError('not_supported', `This build does not restore ${source.kind} sources.`, {
        fields: [{ field: '/source/kind', message: 'must be backup or pitr' }],
      });
  }
}

async function ofBackup(
  context: UsecaseContext,
  principal: Principal,
  source: Extract<RestoreSource, { kind: 'backup' }>,
): Promise<ResolvedSource> {
  const backup = await requireBackup(context, principal, source.backupId);
  assertRestorable(backup);
  const text = `backup ${backup.id}`;
  const wanted = source.databaseId ?? backup.databaseId;
  if (wanted === backup.databaseId && maySee(principal, backup)) return { backup, database: backup.database, text };
  if (backup.serverId === null) throw invalidField('/source/databaseId', 'must be absent: a dump holds one database');
  if (source.databaseId === undefined) {
    throw invalidField('/source/databaseId', 'is required: this backup was asked for by another user of the server');
  }
  const database = await requireDatabase(context, principal, source.databaseId);
  if (database.serverId !== backup.serverId) {
    throw invalidField('/source/databaseId', `must be a database on the server ${backup.serverId}`);
  }
  return { backup, database, text };
}

const maySee = (principal: Principal, backup: BackupRow) =>
  principal.role === 'admin' || backup.database.ownerId === principal.userId;

async function ofPoint(context: UsecaseContext, principal: Principal, source: PointSource): Promise<ResolvedSource> {
  const database = await requireDatabase(context, principal, source.databaseId);
  const fault = source.position === undefined ? null : positionFault(database.engine as EngineKind, source.position);
  if (fault !== null) throw invalidField('/source/position', fault);
  const found = await findRecoverableChain(context, database.id);
  const point = source.time ?? source.position ?? 'latest';
  if (found === null || !covers(found.window, source)) {
    throw new TidemarkError(
      'outside_window',
      `The point ${point} lies outside the recovery window of ${database.name} (${database.id}): ${windowText(found?.window ?? null)}.`,
      {
        object: database.id,
        ...(source.time === undefined
          ? {}
          : { fields: [{ field: '/source/time', message: 'must lie inside the window' }] }),
      },
    );
  }
  const backup = await guessBackup(context, found.chainId, source);
  if (backup === null) throw notFound('backup before the point of database', database.id);
  assertRestorable(backup);
  return { backup, database, text: `${database.name} at ${point}` };
}

/** Where a position lies only the worker can tell. */
function covers(window: RecoveryWindow, { time }: PointSource): boolean {
  if (time === undefined) return true;
  const at = Date.parse(time);
  return window.runs.some(({ from, to }) => Date.parse(from) <= at && at <= Date.parse(to));
}

async function guessBackup(context: UsecaseContext, chainId: string, { time }: PointSource): Promise<BackupRow | null> {
  const rows = await findCompletedOfChain(context.catalog.prisma, chainId);
  const limit = time === undefined ? Number.POSITIVE_INFINITY : Date.parse(time);
  const guess = rows.find(({ takenAt }) => takenAt !== null && takenAt.getTime() <= limit) ?? rows.at(-1);
  // As an admin: who may restore this database was decided, and the backup of its server may have been asked for by another.
  const viewer = { userId: '', role: 'admin' } as const;
  return guess === undefined ? null : await findBackup(context.catalog.prisma, viewer, guess.id);
}
