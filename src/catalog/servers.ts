import type { PageQuery } from '../domain/schemas/common.js';
import type { CatalogQueries } from './client.js';
import type { Prisma } from './generated/client.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { ownedBy } from './scope.js';

const include = (viewer: Viewer) =>
  ({ _count: { select: { databases: { where: { deletedAt: null, ...ownedBy(viewer) } } } } }) as const;
export type ServerRow = Prisma.ServerGetPayload<{ include: ReturnType<typeof include> }>;

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
  return cutPage(page, rows, (row) => row.createdAt);
}

export async function findServer(queries: CatalogQueries, viewer: Viewer, id: string): Promise<ServerRow | null> {
  return await queries.server.findFirst({ where: { id, ...visible(viewer) }, include: include(viewer) });
}
