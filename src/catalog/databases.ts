import type { EngineKind } from '../domain/engine-kinds.js';
import type { ListDatabasesQuery } from '../domain/schemas/databases.js';
import type { CatalogQueries } from './client.js';
import { Prisma } from './generated/client.js';
import { jsonColumn } from './json.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { containsText, ownedBy } from './scope.js';

const include = {
  server: true,
  // The policy it is under now, if any: `activeKey` is unique.
  attachments: { where: { activeKey: { not: null } }, take: 1, include: { chain: true } },
} as const satisfies Prisma.DatabaseInclude;
export type DatabaseRow = Prisma.DatabaseGetPayload<{ include: typeof include }>;

export type NewDatabase = {
  id: string;
  name: string;
  engine: EngineKind;
  host: string;
  port: number;
  username: string;
  secretId: string;
  database: string;
  tls: object | null;
  primaryId: string | null;
  role: 'primary' | 'replica';
  ownerId: string;
};

export async function insertDatabase(queries: CatalogQueries, data: NewDatabase): Promise<DatabaseRow> {
  return await queries.database.create({ data: { ...data, tls: jsonColumn(data.tls) }, include });
}

export async function findDatabase(queries: CatalogQueries, viewer: Viewer, id: string): Promise<DatabaseRow | null> {
  return await queries.database.findFirst({ where: { id, deletedAt: null, ...ownedBy(viewer) }, include });
}

/** Makes a deletion and a new reference wait for each other, so that neither sees the state before the other. */
export async function lockDatabase(queries: CatalogQueries, id: string): Promise<void> {
  await queries.$queryRaw`SELECT "id" FROM "Database" WHERE "id" = ${id} FOR UPDATE`;
}

export async function findDatabases(queries: CatalogQueries, viewer: Viewer, query: ListDatabasesQuery) {
  const page: PageRequest = { list: 'databases', viewer, query };
  const text = query.q ? containsText(query.q) : undefined;
  const rows = await queries.database.findMany({
    where: {
      deletedAt: null,
      ...ownedBy(viewer),
      ...(query.engine === undefined ? {} : { engine: query.engine }),
      ...(query.serverId === undefined ? {} : { serverId: query.serverId }),
      AND: [afterKeyset(readCursor(page)), text === undefined ? {} : { OR: [{ name: text }, { database: text }] }],
    },
    include,
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}

export type DatabaseChanges = Partial<
  Pick<NewDatabase, 'name' | 'host' | 'port' | 'username' | 'database' | 'tls' | 'primaryId' | 'role' | 'secretId'>
>;

/** `forgetChecks` after a change of the address or the credentials: what the last check said is not true any more. */
export async function changeDatabase(
  queries: CatalogQueries,
  id: string,
  changes: DatabaseChanges,
  forgetChecks: boolean,
): Promise<DatabaseRow> {
  const { tls, ...rest } = changes;
  return await queries.database.update({
    where: { id },
    data: {
      ...rest,
      ...(tls === undefined ? {} : { tls: jsonColumn(tls) }),
      ...(forgetChecks
        ? { capabilities: Prisma.DbNull, findings: Prisma.DbNull, checkError: Prisma.DbNull, checkedAt: null }
        : {}),
    },
    include,
  });
}

/** The row stays for the backups made of it; it only stops being a database that can be used. */
export async function markDatabaseDeleted(queries: CatalogQueries, id: string): Promise<void> {
  await queries.database.update({ where: { id }, data: { deletedAt: new Date() } });
}

/** Ids that keep a database from being deleted: its attachment, plans, replicas, runs under way, restores that use its credentials. */
export async function findDatabaseReferences(queries: CatalogQueries, id: string): Promise<string[]> {
  const active = { in: ['pending', 'in_progress'] };
  // One after the other: they share the connection of the transaction.
  const attachments = await queries.attachment.findMany({ where: { activeKey: id }, select: { id: true } });
  // A replica that was promoted is where a log is archived from.
  const chains = await queries.chain.findMany({
    where: {
      sourceDatabaseId: id,
      archiveWanted: true,
      endedAt: null,
      attachments: { some: { activeKey: { not: null } }, none: { activeKey: id } },
    },
    select: { id: true },
  });
  const plans = await queries.plan.findMany({
    where: { databaseId: id, deletedAt: null },
    select: { id: true },
    take: 100,
  });
  const replicas = await queries.database.findMany({
    where: { primaryId: id, deletedAt: null },
    select: { id: true },
    take: 100,
  });
  const backups = await queries.backup.findMany({
    where: { databaseId: id, status: active },
    select: { id: true },
    take: 100,
  });
  const restores = await queries.restore.findMany({
    where: {
      targetDatabaseId: id,
      OR: [
        { status: active },
        { activeKey: { not: null } },
        // The kept former content can only be dropped or put back with these credentials.
        { previousName: { not: null }, previousDroppedAt: null },
      ],
    },
    select: { id: true },
    take: 100,
  });
  return [...attachments, ...chains, ...plans, ...replicas, ...backups, ...restores].map((row) => row.id);
}
