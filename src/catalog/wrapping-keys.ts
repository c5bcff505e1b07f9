import type { CatalogQueries } from './client.js';

export async function insertWrappingKey(queries: CatalogQueries, key: { id: string; sealed: string }): Promise<void> {
  await queries.wrappingKey.create({ data: key });
}

export async function findWrappingKey(queries: CatalogQueries, id: string) {
  return await queries.wrappingKey.findUnique({ where: { id } });
}

/** A retired key makes no new backups and stays for as long as one backup was made under it. */
export async function retireWrappingKey(queries: CatalogQueries, id: string): Promise<void> {
  await queries.wrappingKey.update({ where: { id }, data: { retiredAt: new Date() } });
}

export async function markKeyExported(queries: CatalogQueries, id: string): Promise<Date> {
  const at = new Date();
  await queries.wrappingKey.update({ where: { id }, data: { exportedAt: at } });
  return at;
}

/** Everything sealed under the master key, for its rotation. Runs in the rotation's transaction. */
export async function findAllSealed(queries: CatalogQueries) {
  // One after the other: they share the connection of the transaction.
  const installation = await queries.installation.findFirst();
  const keys = await queries.wrappingKey.findMany({ orderBy: { id: 'asc' } });
  const secrets = await queries.secret.findMany({ orderBy: { id: 'asc' } });
  return { installation, keys, secrets };
}

export async function replaceSealedKey(queries: CatalogQueries, id: string, sealed: string): Promise<void> {
  await queries.wrappingKey.update({ where: { id }, data: { sealed } });
}

/** Keeps others from sealing rows while a rotation re-seals: a row written meanwhile would stay under the old key. Readers go on. */
export async function lockSealed(queries: CatalogQueries): Promise<void> {
  await queries.$executeRaw`LOCK TABLE "Installation", "WrappingKey", "Secret" IN SHARE ROW EXCLUSIVE MODE`;
}
