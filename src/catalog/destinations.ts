import type { ListDestinationsQuery } from '../domain/schemas/destinations.js';
import type { CatalogQueries } from './client.js';
import { Prisma } from './generated/client.js';
import type { PageRequest } from './paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from './paging.js';
import type { Viewer } from './scope.js';
import { ownedBy } from './scope.js';

export type DestinationRow = Prisma.DestinationGetPayload<object>;

export type NewDestination = {
  id: string;
  name: string;
  type: 's3' | 'directory';
  endpoint: string | null;
  bucket: string | null;
  region: string | null;
  prefix: string;
  forcePathStyle: boolean;
  path: string | null;
  secretId: string | null;
  enabled: boolean;
  ownerId: string;
};

export async function insertDestination(queries: CatalogQueries, data: NewDestination): Promise<DestinationRow> {
  return await queries.destination.create({ data });
}

export async function findDestination(
  queries: CatalogQueries,
  viewer: Viewer,
  id: string,
): Promise<DestinationRow | null> {
  return await queries.destination.findFirst({ where: { id, deletedAt: null, ...ownedBy(viewer) } });
}

/** Destinations of every owner whose store is on this machine. */
export async function findLoopbackDestinations(queries: CatalogQueries): Promise<DestinationRow[]> {
  const host = ['http://127.0.0.1:', 'http://localhost:'].map((start) => ({ endpoint: { startsWith: start } }));
  return await queries.destination.findMany({ where: { type: 's3', deletedAt: null, OR: host } });
}

/** The destination that is registered for a place, whoever owns it; the oldest of several. */
export async function findDestinationAt(
  queries: CatalogQueries,
  place: Pick<NewDestination, 'type' | 'endpoint' | 'bucket' | 'path' | 'prefix'>,
): Promise<DestinationRow | null> {
  return await queries.destination.findFirst({ where: { ...place, deletedAt: null }, orderBy: { createdAt: 'asc' } });
}

export async function lockDestination(queries: CatalogQueries, id: string): Promise<void> {
  await queries.$queryRaw`SELECT "id" FROM "Destination" WHERE "id" = ${id} FOR UPDATE`;
}

export async function findDestinations(queries: CatalogQueries, viewer: Viewer, query: ListDestinationsQuery) {
  const page: PageRequest = { list: 'destinations', viewer, query };
  const rows = await queries.destination.findMany({
    where: {
      deletedAt: null,
      ...ownedBy(viewer),
      ...(query.type === undefined ? {} : { type: query.type }),
      AND: [afterKeyset(readCursor(page))],
    },
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}

export type DestinationChanges = Partial<Omit<NewDestination, 'id' | 'type' | 'secretId' | 'ownerId'>>;

/** `forgetChecks` after a change of place or credentials: what was verified is not what will be used. */
export async function changeDestination(
  queries: CatalogQueries,
  id: string,
  changes: DestinationChanges,
  forgetChecks: boolean,
): Promise<DestinationRow> {
  return await queries.destination.update({
    where: { id },
    data: { ...changes, ...(forgetChecks ? { credentialsVerifiedAt: null, checkError: Prisma.DbNull } : {}) },
  });
}

export async function markDestinationDeleted(queries: CatalogQueries, id: string): Promise<void> {
  await queries.destination.update({ where: { id }, data: { deletedAt: new Date(), secretId: null } });
}

/**
 * Ids that keep a destination from being deleted: plans, policies, runs under way, deletions under way. Stored backups do not: their objects
 * stay, and a restore of one answers `destination_deleted`.
 */
export async function findDestinationReferences(queries: CatalogQueries, id: string): Promise<string[]> {
  const active = { in: ['pending', 'in_progress'] };
  // One after the other: they share the connection of the transaction.
  const plans = await queries.plan.findMany({
    where: { destinationId: id, deletedAt: null },
    select: { id: true },
    take: 100,
  });
  const policies = await queries.policy.findMany({
    where: { destinationId: id, deletedAt: null },
    select: { id: true },
    take: 100,
  });
  const backups = await queries.backup.findMany({
    where: {
      destinationId: id,
      deletedAt: null,
      OR: [{ status: active }, { deleteRequestedAt: { not: null } }],
    },
    select: { id: true },
    take: 100,
  });
  const restores = await queries.restore.findMany({
    where: { backup: { destinationId: id }, status: active },
    select: { id: true },
    take: 100,
  });
  return [...plans, ...policies, ...backups, ...restores].map((row) => row.id);
}

/** Ids of backups that lie in a destination, up to 100: while there are any, its place cannot change. */
export async function findBackupsIn(queries: CatalogQueries, id: string): Promise<string[]> {
  const rows = await queries.backup.findMany({
    where: { destinationId: id, deletedAt: null, status: { in: ['pending', 'in_progress', 'completed'] } },
    select: { id: true },
    take: 100,
  });
  return rows.map((row) => row.id);
}
