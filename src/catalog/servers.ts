import type { PageQuery } from '../domain/schemas/common.js';
import type { CatalogQueries } from './client.js';
import type { Prisma } from './generated/client.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { ownedBy } from './scope.js';

const include = (viewer: Viewer) =>
  ({
    _count: { select: { databases: { where: { deletedAt: null, ...ownedBy(viewer) } } } },
    chains: {
      where: { endedAt: null, ...(viewer.role === 'admin' ? {} : { policy: { ownerId: viewer.userId } }) },
      orderBy: { createdAt: 'asc' },
    },
  }) as const satisfies Prisma.ServerInclude;
type Found = Prisma.ServerGetPayload<{ include: ReturnType<typeof include> }>;
export type ServerRow = Found & { cleanups: Prisma.SourceCleanupGetPayload<object>[] };

/** A user sees the servers on which a database of theirs is registered. */
const visible = (viewer: Viewer): Prisma.ServerWhereInput =>
  viewer.role === 'admin' ? {} : { databases: { some: { deletedAt: null, ownerId: viewer.userId } } };

export async function findServers(queries: CatalogQueries, viewer: Viewer, query: PageQuery) {
  const page: PageRequest = { list: 'servers', viewer, query };
  const rows = await queries.server.findMany({
    where: { AND: [visible(viewer), afterKeyset(readCursor(page))] },
    include: include(viewer),
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  const { rows: found, nextCursor } = cutPage(page, rows, (row) => row.createdAt);
  return { rows: await withCleanups(queries, viewer, found), nextCursor };
}

export async function findServer(queries: CatalogQueries, viewer: Viewer, id: string): Promise<ServerRow | null> {
  const row = await queries.server.findFirst({ where: { id, ...visible(viewer) }, include: include(viewer) });
  if (row === null) return null;
  const [found] = await withCleanups(queries, viewer, [row]);
  return found ?? null;
}

/**
 * What is still to be removed from each server. A clean-up outlives its database, also a deleted one; that row, which stays, tells the
 * server.
 */
async function withCleanups(queries: CatalogQueries, viewer: Viewer, rows: readonly Found[]): Promise<ServerRow[]> {
  const databases = await queries.database.findMany({
    where: { serverId: { in: rows.map((row) => row.id) }, ...ownedBy(viewer) },
    select: { id: true, serverId: true },
  });
  const serverOf = new Map(databases.map((row) => [row.id, row.serverId]));
  const cleanups = await queries.sourceCleanup.findMany({
    where: { doneAt: null, databaseId: { in: [...serverOf.keys()] } },
    orderBy: { createdAt: 'asc' },
  });
  return rows.map((row) => ({
    ...row,
    cleanups: cleanups.filter(({ databaseId }) => databaseId !== null && serverOf.get(databaseId) === row.id),
  }));
}
