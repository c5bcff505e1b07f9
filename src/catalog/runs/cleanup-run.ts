import { newId } from '../../domain/ids.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { noJson, toJson } from './run-json.js';

/** A clean-up with the database it came from, if that row still stands. Null when it is done or there is none. */
export async function readCleanup(catalog: Catalog, id: string) {
  const row = await catalog.prisma.sourceCleanup.findUnique({ where: { id } });
  if (row === null || row.doneAt !== null) return null;
  const database =
    row.databaseId === null
      ? null
      : await catalog.prisma.database.findFirst({ where: { id: row.databaseId, deletedAt: null } });
  return { ...row, databaseNow: database };
}
export type CleanupRun = NonNullable<Awaited<ReturnType<typeof readCleanup>>>;

/** It is gone from the server, and with it our copy of the credentials. */
export async function markCleanedUp(catalog: Catalog, { id, secretId }: CleanupRun): Promise<void> {
  await catalog.prisma.$transaction([
    catalog.prisma.sourceCleanup.update({
      where: { id },
      data: { doneAt: new Date(), attempts: { increment: 1 }, lastError: noJson },
    }),
    catalog.prisma.secret.deleteMany({ where: { id: secretId } }),
  ]);
}

export async function noteCleanupFailed(
  catalog: Catalog,
  id: string,
  error: { readonly code: string; readonly message: string },
): Promise<void> {
  await catalog.prisma.sourceCleanup.updateMany({
    where: { id, doneAt: null },
    data: { attempts: { increment: 1 }, lastError: toJson(error) },
  });
}

/** A chain's slot on this server is wanted again: the database was attached anew before the clean-up came about. */
export async function isWantedAgain(catalog: Catalog, { host, port, name }: CleanupRun): Promise<boolean> {
  const place = { host, port, deletedAt: null };
  const followed = { OR: [place, { replicas: { some: place } }] };
  const wanted = { slotName: name, archiveWanted: true, endedAt: null };
  const found = await catalog.prisma.chain.count({
    where: { ...wanted, attachments: { some: { activeKey: { not: null }, database: followed } } },
  });
  return found > 0;
}

/**
 * A replica is about to be forgotten on which an archive holds the log: the slot becomes a clean-up, and the replica's credentials go over to
 * it. False when nothing is held there; then the credentials are the caller's to delete.
 */
export async function handOverHeldLog(
  queries: CatalogQueries,
  replica: {
    readonly id: string;
    readonly engine: string;
    readonly host: string;
    readonly port: number;
    readonly username: string;
    readonly database: string;
    readonly tls: unknown;
    readonly secretId: string;
    readonly primaryId: string | null;
  },
): Promise<boolean> {
  const { id: databaseId, primaryId, tls, secretId, ...place } = replica;
  // Only PostgreSQL's replicas have to be made to keep their log.
  if (primaryId === null || replica.engine !== 'postgresql') return false;
  const chain = await queries.chain.findFirst({
    where: {
      archiveWanted: true,
      endedAt: null,
      attachments: { some: { databaseId: primaryId, activeKey: { not: null } } },
    },
  });
  if (chain === null) return false;
  const { engine, host, port, username, database } = place;
  await queries.secret.update({ where: { id: secretId }, data: { purpose: 'cleanup' } });
  await queries.sourceCleanup.create({
    data: {
      ...{ engine, host, port, username, database, secretId, databaseId },
      tls: tls === null ? noJson : toJson(tls),
      id: newId('cleanup'),
      kind: 'replication_slot',
      name: chain.slotName,
      policyId: chain.policyId,
    },
  });
  return true;
}
