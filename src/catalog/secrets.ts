import type { SecretPurpose } from '../domain/secrets.js';
import type { CatalogQueries } from './client.js';

export type NewSecret = { id: string; purpose: SecretPurpose; sealed: string; restoreId?: string };

export async function insertSecret(queries: CatalogQueries, secret: NewSecret): Promise<void> {
  await queries.secret.create({ data: { ...secret, restoreId: secret.restoreId ?? null } });
}

/** Puts a new sealed text in place of the old one; whoever holds the id reads the new credentials from then on. */
export async function replaceSecret(queries: CatalogQueries, id: string, sealed: string): Promise<void> {
  await queries.secret.update({ where: { id }, data: { sealed } });
}

/** Deleting what is gone is a success. */
export async function deleteSecret(queries: CatalogQueries, id: string): Promise<void> {
  await queries.secret.deleteMany({ where: { id } });
}

/** A restore that ended before it began leaves nothing for which its one-shot secret would still be needed. */
export async function deleteSecretsOfRestore(queries: CatalogQueries, restoreId: string): Promise<void> {
  await queries.secret.deleteMany({ where: { restoreId } });
}

export async function findSealedText(queries: CatalogQueries, id: string): Promise<string | null> {
  return (await queries.secret.findUnique({ where: { id } }))?.sealed ?? null;
}
