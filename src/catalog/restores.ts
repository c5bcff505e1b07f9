import type { ListRestoresQuery } from '../domain/schemas/restores.js';
import type { CatalogQueries } from './client.js';
import { Prisma } from './generated/client.js';
import { jsonColumn, jsonObject } from './json.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { timeRange } from './scope.js';

const include = { database: true, backup: { include: { plan: true } } } as const;
export type RestoreRow = Prisma.RestoreGetPayload<{ include: typeof include }>;

export type NewRestore = {
  id: string;
  source: object;
  target: object;
  backupId: string;
  databaseId: string;
  planId: string | null;
  policyId: string | null;
  targetDatabaseId: string | null;
  targetHost: string;
  targetPort: number;
  targetUsername: string;
  targetSecretId: string;
  targetTls: object | null;
  targetName: string;
  overwrite: boolean;
  mayReplaceOriginal: boolean;
  keepPreviousHours: number;
  triggeredBy: string;
  activeKey: string;
};

/** Inserts a pending restore that claims its target. A unique violation means that another one holds it. */
export async function insertRestore(queries: CatalogQueries, data: NewRestore): Promise<RestoreRow> {
  return await queries.restore.create({
    data: {
      ...data,
      status: 'pending',
      source: jsonObject(data.source),
      target: jsonObject(data.target),
      targetTls: jsonColumn(data.targetTls),
    },
    include,
  });
}

export async function findRestoreHolding(queries: CatalogQueries, activeKey: string): Promise<{ id: string } | null> {
  return await queries.restore.findUnique({ where: { activeKey }, select: { id: true } });
}

/** A restore belongs to the owner of the database whose content it restores: a full holds those of others too. */
const visible = (viewer: Viewer): Prisma.RestoreWhereInput =>
  viewer.role === 'admin' ? {} : { database: { ownerId: viewer.userId } };

export async function findRestore(queries: CatalogQueries, viewer: Viewer, id: string): Promise<RestoreRow | null> {
  return await queries.restore.findFirst({ where: { id, ...visible(viewer) }, include });
}

export async function findRestores(queries: CatalogQueries, viewer: Viewer, query: ListRestoresQuery) {
  const page: PageRequest = { list: 'restores', viewer, query };
  const range = timeRange(query.from, query.to);
  const rows = await queries.restore.findMany({
    where: {
      AND: [visible(viewer), afterKeyset(readCursor(page)), range === undefined ? {} : { createdAt: range }],
      ...(query.backupId === undefined ? {} : { backupId: query.backupId }),
      ...(query.databaseId === undefined ? {} : { databaseId: query.databaseId }),
      ...(query.planId === undefined ? {} : { planId: query.planId }),
      ...(query.policyId === undefined ? {} : { policyId: query.policyId }),
      ...(query.status === undefined ? {} : { status: query.status }),
    },
    include,
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}

export async function requestRestoreCancel(queries: CatalogQueries, id: string): Promise<boolean> {
  const { count } = await queries.restore.updateMany({
    where: { id, status: { in: ['pending', 'in_progress'] } },
    data: { cancelRequestedAt: new Date() },
  });
  return count === 1;
}

/**
 * Claims the target for a revert: a completed row with an `activeKey` is a revert that was asked for. False when the former content is
 * not there any more or a revert is already asked for. Throws a unique violation when a restore holds the target.
 */
export async function claimRevert(queries: CatalogQueries, id: string, activeKey: string): Promise<boolean> {
  const { count } = await queries.restore.updateMany({
    where: {
      id,
      status: 'completed',
      activeKey: null,
      previousName: { not: null },
      previousDroppedAt: null,
      revertedAt: null,
      // Housekeeping may be dropping it from that time on.
      OR: [{ previousUntil: null }, { previousUntil: { gt: new Date() } }],
    },
    data: { activeKey, revertError: Prisma.DbNull },
  });
  return count === 1;
}
