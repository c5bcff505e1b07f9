import type { ListNotificationsQuery } from '../domain/schemas/notifications.js';
import type { CatalogQueries } from './client.js';
import type { Prisma } from './generated/client.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { ownedBy } from './scope.js';

export type NotificationRow = Prisma.NotificationGetPayload<object>;

export async function findNotifications(queries: CatalogQueries, viewer: Viewer, query: ListNotificationsQuery) {
  const page: PageRequest = { list: 'notifications', viewer, query };
  const { event, status, policyId, databaseId } = query;
  const rows = await queries.notification.findMany({
    where: {
      ...ownedBy(viewer),
      ...(event === undefined ? {} : { event }),
      ...(status === undefined ? {} : { status }),
      ...(policyId === undefined ? {} : { policyId }),
      ...(databaseId === undefined ? {} : { databaseId }),
      AND: [afterKeyset(readCursor(page))],
    },
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}

/** Mails that were not sent yet, in the order of their events. */
export async function findPendingNotifications(queries: CatalogQueries) {
  return await queries.notification.findMany({
    where: { status: 'pending' },
    select: { id: true, subject: true, policyId: true, databaseId: true },
    orderBy: { createdAt: 'asc' },
    take: 200,
  });
}

/** What of ours still stands on a user's server and has to go. */
export async function findOpenCleanups(queries: CatalogQueries) {
  return await queries.sourceCleanup.findMany({
    where: { doneAt: null },
    select: { id: true, name: true, host: true, port: true, policyId: true, databaseId: true },
    orderBy: { createdAt: 'asc' },
    take: 200,
  });
}
