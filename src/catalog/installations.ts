import type { CatalogQueries } from './client.js';
import type { PrismaClient } from './generated/client.js';

export async function findInstallation(queries: CatalogQueries) {
  return await queries.installation.findFirst();
}

/** A person says that the master key is saved elsewhere. */
export async function confirmMasterKeyRow(queries: CatalogQueries, id: string): Promise<Date> {
  const row = await queries.installation.update({ where: { id }, data: { masterKeyConfirmedAt: new Date() } });
  return row.masterKeyConfirmedAt ?? new Date();
}

/** After a rotation the new key is on nobody's paper yet, so the confirmation is asked for again. */
export async function replaceMasterKeyCheck(
  queries: CatalogQueries,
  id: string,
  masterKeyCheck: string,
): Promise<void> {
  await queries.installation.update({ where: { id }, data: { masterKeyCheck, masterKeyConfirmedAt: null } });
}

// Serialises the first start of several processes on one new catalog ("inst" in ASCII).
const installationLock = 0x696e7374;

/** Inserts the one row, or returns the one that another process inserted meanwhile. */
export async function insertInstallation(catalog: PrismaClient, row: { id: string; masterKeyCheck: string }) {
  return await catalog.$transaction(async (tx) => {
    await tx.$executeRaw`select pg_advisory_xact_lock(${installationLock}::bigint)`;
    return (await tx.installation.findFirst()) ?? (await tx.installation.create({ data: row }));
  });
}
