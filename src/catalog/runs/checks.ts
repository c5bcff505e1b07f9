import { newId } from '../../domain/ids.js';
import type { ServerIdentity } from '../../domain/positions.js';
import type { Catalog } from '../client.js';
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

/** Writes what a check of a database found. */
export async function recordDatabaseCheck(
  catalog: Catalog,
  databaseId: string,
  found: {
    server: ServerIdentity;
    role: string;
    sizeBytes: number;
    capabilities: unknown;
    findings: readonly unknown[];
  },
): Promise<void> {
  const serverId = await rememberServer(catalog, found.server);
  await catalog.prisma.database.update({
    where: { id: databaseId },
    data: {
      serverId,
      role: found.role,
      sizeBytes: BigInt(Math.max(0, Math.round(found.sizeBytes))),
      capabilities: toJson(found.capabilities),
      findings: toJson(found.findings),
      checkedAt: new Date(),
      checkError: noJson,
    },
  });
}

/** A check that could not be finished: what was found before stays, with the reason beside it. */
export async function recordDatabaseCheckError(
  catalog: Catalog,
  databaseId: string,
  error: { code: string; message: string },
): Promise<void> {
  await catalog.prisma.database.update({
    where: { id: databaseId },
    data: { checkedAt: new Date(), checkError: toJson(error) },
  });
}

export async function recordDestinationCheck(
  catalog: Catalog,
  destinationId: string,
  error: { code: string; message: string } | null,
): Promise<void> {
  await catalog.prisma.destination.update({
    where: { id: destinationId },
    data: error === null ? { credentialsVerifiedAt: new Date(), checkError: noJson } : { checkError: toJson(error) },
  });
}
