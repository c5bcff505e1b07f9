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

export async function findSealedText(queries: CatalogQueries, id: string): Promise<string | null> {
  return (await queries.secret.findUnique({ where: { id } }))?.sealed ?? null;
}

/**
 * One-shot secrets that nothing needs any more: the restore settled and kept no former content behind, or its row is gone. As long as
 * former content is kept, putting it back or dropping it still needs the credentials.
 */
export async function deleteSpentSecrets(queries: CatalogQueries): Promise<number> {
  return await queries.$executeRaw`
    DELETE FROM "Secret" s
    WHERE s."purpose" = 'target' AND s."restoreId" IS NOT NULL AND s."createdAt" < now() - interval '1 hour'
      AND NOT EXISTS (
        SELECT 1 FROM "Restore" r
        WHERE r."id" = s."restoreId"
          AND (r."status" IN ('pending', 'in_progress') OR r."activeKey" IS NOT NULL
               OR (r."previousName" IS NOT NULL AND r."previousDroppedAt" IS NULL)))`;
}
