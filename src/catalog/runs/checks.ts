import { newId } from '../../domain/ids.js';
import type { ServerIdentity } from '../../domain/positions.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { noJson, toJson } from './run-json.js';

/** Makes sure that a server row exists for an identity and tells its id. */
export async function rememberServer(catalog: Catalog, server: ServerIdentity): Promise<string> {
  const facts = { version: server.version, major: server.major, lastSeenAt: new Date() };
  const row = await catalog.prisma.server.upsert({
    where: { identity: server.identity },
    create: { id: newId('server'), engine: server.engine, identity: server.identity, ...facts },
    update: facts,
  });
  return row.id;
}

/**
 * What a check of a database looks at: address and sealed credentials, as text. Read before the check and compared when its result is
 * written, so that nothing is said of an address or of credentials that this check has not seen.
 */
export async function readDatabaseAddress(queries: CatalogQueries, databaseId: string): Promise<string> {
  const row = await queries.database.findUnique({
    where: { id: databaseId },
    select: { host: true, port: true, username: true, database: true, tls: true, secretId: true },
  });
  return JSON.stringify([row, await sealedText(queries, row?.secretId)]);
}

/** As `readDatabaseAddress`, of a destination. */
export async function readDestinationAddress(queries: CatalogQueries, destinationId: string): Promise<string> {
  const row = await queries.destination.findUnique({
    where: { id: destinationId },
    select: {
      endpoint: true,
      bucket: true,
      region: true,
      prefix: true,
      forcePathStyle: true,
      path: true,
      secretId: true,
    },
  });
  return JSON.stringify([row, await sealedText(queries, row?.secretId)]);
}

async function sealedText(queries: CatalogQueries, secretId: string | null | undefined): Promise<string | null> {
  if (!secretId) return null;
  return (await queries.secret.findUnique({ where: { id: secretId }, select: { sealed: true } }))?.sealed ?? null;
}

/** Writes unless the address was changed since `seen`: the check that the change has started will tell. */
async function writeIfUnchanged(
  catalog: Catalog,
  table: 'Database' | 'Destination',
  id: string,
  seen: string,
  write: (tx: CatalogQueries) => Promise<unknown>,
): Promise<void> {
  await catalog.prisma.$transaction(async (tx) => {
    if (table === 'Database') await tx.$queryRaw`select id from "Database" where id = ${id} for update`;
    else await tx.$queryRaw`select id from "Destination" where id = ${id} for update`;
    const read = table === 'Database' ? readDatabaseAddress : readDestinationAddress;
    if ((await read(tx, id)) === seen) await write(tx);
  });
}

/** Was a backup ever completed in this destination? Deleted ones count: the owner's marker outlives them. */
export async function hasStoredBackups(queries: CatalogQueries, destinationId: string): Promise<boolean> {
  const found = await queries.backup.findFirst({ where: { destinationId, status: 'completed' }, select: { id: true } });
  return found !== null;
}

/** Writes what a check of a database found. */
export async function recordDatabaseCheck(
  catalog: Catalog,
  databaseId: string,
  seen: string,
  found: {
    server: ServerIdentity;
    role: string;
    sizeBytes: number;
    capabilities: unknown;
    findings: readonly unknown[];
  },
): Promise<void> {
  const serverId = await rememberServer(catalog, found.server);
  const data = {
    serverId,
    role: found.role,
    sizeBytes: BigInt(Math.max(0, Math.round(found.sizeBytes))),
    capabilities: toJson(found.capabilities),
    findings: toJson(found.findings),
    checkedAt: new Date(),
    checkError: noJson,
  };
  const write = (tx: CatalogQueries) => tx.database.update({ where: { id: databaseId }, data });
  await writeIfUnchanged(catalog, 'Database', databaseId, seen, write);
}

/** A check that could not be finished: what was found before stays, with the reason beside it. */
export async function recordDatabaseCheckError(
  catalog: Catalog,
  databaseId: string,
  seen: string,
  error: { code: string; message: string },
): Promise<void> {
  const data = { checkedAt: new Date(), checkError: toJson(error) };
  const write = (tx: CatalogQueries) => tx.database.update({ where: { id: databaseId }, data });
  await writeIfUnchanged(catalog, 'Database', databaseId, seen, write);
}

export async function recordDestinationCheck(
  catalog: Catalog,
  destinationId: string,
  seen: string,
  error: { code: string; message: string } | null,
): Promise<void> {
  const data =
    error === null ? { credentialsVerifiedAt: new Date(), checkError: noJson } : { checkError: toJson(error) };
  const write = (tx: CatalogQueries) => tx.destination.update({ where: { id: destinationId }, data });
  await writeIfUnchanged(catalog, 'Destination', destinationId, seen, write);
}

/**
 * What a check of a policy found: `validating` and `error` end with it, a pause does not. Nothing is said of a
 * policy that was changed since: the change has started a check of its own.
 */
export async function recordPolicyCheck(
  catalog: Catalog,
  policyId: string,
  revision: number,
  error: { code: string; message: string } | null,
): Promise<void> {
  const { policy } = catalog.prisma;
  await policy.updateMany({
    where: { id: policyId, revision },
    data: error === null ? { credentialsVerifiedAt: new Date(), lastError: noJson } : { lastError: toJson(error) },
  });
  await policy.updateMany({
    where: { id: policyId, revision, status: { in: ['validating', 'error', 'active'] } },
    data: { status: error === null ? 'active' : 'error' },
  });
}
