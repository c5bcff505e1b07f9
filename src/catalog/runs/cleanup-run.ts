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

/**
 * Where the log of the chain that this slot belongs to is held now, source first: there it must stay. A former source is none of these; its
 * address may still be registered. Empty: nobody wants the slot any more.
 */
export async function findHolders(catalog: Catalog, { name }: Pick<CleanupRun, 'name'>) {
  const chain = await catalog.prisma.chain.findFirst({
    where: { slotName: name, archiveWanted: true, endedAt: null },
    include: {
      attachments: {
        where: { activeKey: { not: null } },
        include: { database: { include: { replicas: { where: { deletedAt: null } } } } },
      },
    },
  });
  const attached = chain?.attachments.map(({ database }) => database) ?? [];
  const replicas = attached.flatMap((database) => database.replicas);
  const source = [...attached, ...replicas].find(({ id }) => id === chain?.sourceDatabaseId);
  return [...(source === undefined ? attached : [source]), ...replicas];
}

/**
 * A server on which an archive holds the log is about to be forgotten, or to be looked for at another address: the slot there becomes a
 * clean-up, and the credentials go over to it. False when nothing is held there; then the credentials are the caller's to delete.
 */
export async function handOverHeldLog(
  queries: CatalogQueries,
  held: {
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
  const { id: databaseId, primaryId, tls, secretId, ...place } = held;
  // Only PostgreSQL's servers have to be made to keep their log.
  if (held.engine !== 'postgresql') return false;
  const chain = await queries.chain.findFirst({
    where: {
      archiveWanted: true,
      endedAt: null,
      attachments: { some: { databaseId: primaryId ?? databaseId, activeKey: { not: null } } },
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
