import type { ListBackupsQuery } from '../domain/schemas/backups.js';
import type { BackupKind, BackupTrigger } from '../domain/statuses.js';
import type { CatalogQueries } from './client.js';
import type { Prisma } from './generated/client.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { containsText, timeRange } from './scope.js';

const include = { database: true, plan: true, policy: true, destination: true } as const;
export type BackupRow = Prisma.BackupGetPayload<{ include: typeof include }>;

export type NewBackup = {
  id: string;
  kind: BackupKind;
  label: string | null;
  databaseId: string;
  planId: string;
  destinationId: string;
  keyId: string | null;
  trigger: BackupTrigger;
  requestedBy: string | null;
};

/** Inserts a pending backup that claims its database. A unique violation means that another run holds it. */
export async function insertBackup(queries: CatalogQueries, data: NewBackup): Promise<BackupRow> {
  return await queries.backup.create({ data: { ...data, status: 'pending', activeKey: data.databaseId }, include });
}

/** The run that holds a database, or null. */
export async function findActiveRun(queries: CatalogQueries, databaseId: string): Promise<{ id: string } | null> {
  return await queries.backup.findUnique({ where: { activeKey: databaseId }, select: { id: true } });
}

/** Fulls and incrementals hold a whole server: they are of every database that is or was attached to their chain. */
const ofDatabase = (database: Prisma.DatabaseWhereInput): Prisma.BackupWhereInput => ({
  OR: [{ database }, { chain: { attachments: { some: { database } } } }],
});

/** A backup belongs to the owner of its database, also after the database was deleted. */
const visible = (viewer: Viewer): Prisma.BackupWhereInput => ({
  deletedAt: null,
  ...(viewer.role === 'admin' ? {} : ofDatabase({ ownerId: viewer.userId })),
});

export async function findBackup(queries: CatalogQueries, viewer: Viewer, id: string): Promise<BackupRow | null> {
  return await queries.backup.findFirst({ where: { id, ...visible(viewer) }, include });
}

/** Makes a deletion and a new restore of one backup wait for each other. */
export async function lockBackup(queries: CatalogQueries, id: string): Promise<void> {
  await queries.$queryRaw`SELECT "id" FROM "Backup" WHERE "id" = ${id} FOR UPDATE`;
}

export async function findBackups(queries: CatalogQueries, viewer: Viewer, query: ListBackupsQuery) {
  const page: PageRequest = { list: 'backups', viewer, query };
  const range = timeRange(query.from, query.to);
  const text = query.q ? containsText(query.q) : undefined;
  const rows = await queries.backup.findMany({
    where: {
      AND: [
        visible(viewer),
        afterKeyset(readCursor(page)),
        text === undefined
          ? {}
          : {
              OR: [
                { label: text },
                { id: text },
                { database: { name: text } },
                { plan: { name: text } },
                { policy: { name: text } },
              ],
            },
        range === undefined ? {} : { createdAt: range },
        query.databaseId === undefined ? {} : ofDatabase({ id: query.databaseId }),
      ],
      ...(query.planId === undefined ? {} : { planId: query.planId }),
      ...(query.policyId === undefined ? {} : { policyId: query.policyId }),
      ...(query.kind === undefined ? {} : { kind: query.kind }),
      ...(query.status === undefined ? {} : { status: query.status }),
    },
    include,
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}

/** Notes a cancel on an active row. False when the row is settled already. */
export async function requestBackupCancel(queries: CatalogQueries, id: string): Promise<boolean> {
  const { count } = await queries.backup.updateMany({
    where: { id, status: { in: ['pending', 'in_progress'] } },
    data: { cancelRequestedAt: new Date() },
  });
  return count === 1;
}

/** Hides the backup from restores at once; its objects go in the background. */
export async function requestBackupDeletion(queries: CatalogQueries, id: string): Promise<BackupRow> {
  return await queries.backup.update({ where: { id }, data: { deleteRequestedAt: new Date() }, include });
}

/** As `requestBackupDeletion`, of the backups that go with another one. */
export async function requestBackupDeletions(queries: CatalogQueries, ids: readonly string[]): Promise<void> {
  await queries.backup.updateMany({
    where: { id: { in: [...ids] }, deleteRequestedAt: null },
    data: { deleteRequestedAt: new Date() },
  });
}

/** For a backup without objects: nothing remote is left to do. */
export async function markBackupDeleted(queries: CatalogQueries, id: string): Promise<void> {
  const now = new Date();
  await queries.backup.update({ where: { id }, data: { deleteRequestedAt: now, deletedAt: now } });
}

/**
 * Restores that read a backup right now. One from a chain may read anything of it: which backups and which log is decided when it has
 * begun.
 */
export async function findRestoresReading(
  queries: CatalogQueries,
  backup: { id: string; chainId: string | null },
): Promise<string[]> {
  const rows = await queries.restore.findMany({
    where: {
      status: { in: ['pending', 'in_progress'] },
      ...(backup.chainId === null ? { backupId: backup.id } : { backup: { chainId: backup.chainId } }),
    },
    select: { id: true },
  });
  return rows.map((row) => row.id);
}

/** Completed backups of a plan, newest first: what its retention decides on. */
export async function findCompletedOfPlan(queries: CatalogQueries, planId: string) {
  return await queries.backup.findMany({
    where: { planId, status: 'completed', deletedAt: null, deleteRequestedAt: null },
    select: { id: true, createdAt: true, takenAt: true },
    orderBy: [...newestFirst],
  });
}
