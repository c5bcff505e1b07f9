import { newId } from '../domain/ids.js';
import type { ListAuditEventsQuery } from '../domain/schemas/accounts.js';
import type { CatalogQueries } from './client.js';
import { jsonColumn } from './json.js';
import type { PageRequest } from './paging.js';
import { cutPage, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { timeRange } from './scope.js';

export type AuditActor = {
  readonly userId: string;
  readonly tokenId: string | null;
  readonly requestId: string | null;
};

/** One change, recorded in the transaction that makes it. `details` holds names and ids, never a secret. A null actor is the service itself. */
export async function recordAudit(
  queries: CatalogQueries,
  actor: AuditActor | null,
  action: string,
  objectId: string | null,
  details?: object,
): Promise<void> {
  await queries.auditEvent.create({
    data: {
      id: newId('audit'),
      userId: actor?.userId ?? null,
      tokenId: actor?.tokenId ?? null,
      requestId: actor?.requestId ?? null,
      action,
      objectId,
      ...(details === undefined ? {} : { details: jsonColumn(details) }),
    },
  });
}

/** Users see what they did themselves; admins see all. */
export async function findAuditEvents(queries: CatalogQueries, viewer: Viewer, query: ListAuditEventsQuery) {
  const page: PageRequest = { list: 'audit-events', viewer, query };
  const keyset = readCursor(page);
  const range = timeRange(query.from, query.to);
  const rows = await queries.auditEvent.findMany({
    where: {
      AND: [
        viewer.role === 'admin' ? {} : { userId: viewer.userId },
        keyset === null ? {} : { OR: [{ at: { lt: keyset.at } }, { at: keyset.at, id: { lt: keyset.id } }] },
      ],
      ...(query.action === undefined ? {} : { action: query.action }),
      ...(query.objectId === undefined ? {} : { objectId: query.objectId }),
      ...(query.userId === undefined ? {} : { userId: query.userId }),
      ...(range === undefined ? {} : { at: range }),
    },
    orderBy: [{ at: 'desc' }, { id: 'desc' }],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.at);
}
