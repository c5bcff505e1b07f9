import type { CatalogQueries } from './client.js';
import type { IdempotencyKey } from './generated/client.js';

export type { IdempotencyKey } from './generated/client.js';

export type KeyAddress = { principal: string; route: string; key: string };

/** Claims the key; false when it is taken. One statement, so that of two requests at once exactly one works. */
export async function insertIdempotencyKey(
  db: CatalogQueries,
  row: KeyAddress & { id: string; bodyHash: string; expiresAt: Date },
): Promise<boolean> {
  const { count } = await db.idempotencyKey.createMany({ data: [row], skipDuplicates: true });
  return count === 1;
}

export function findIdempotencyKey(db: CatalogQueries, address: KeyAddress): Promise<IdempotencyKey | null> {
  return db.idempotencyKey.findUnique({ where: { principal_route_key: address } });
}

/** Records what the request made, so that a replay can read it again. */
export async function completeIdempotencyKey(
  db: CatalogQueries,
  id: string,
  resourceId: string,
  statusCode: number,
): Promise<void> {
  await db.idempotencyKey.updateMany({ where: { id }, data: { resourceId, statusCode } });
}

/** Frees a key; one that was completed meanwhile stays. */
export async function releaseIdempotencyKey(db: CatalogQueries, id: string): Promise<void> {
  await db.idempotencyKey.deleteMany({ where: { id, statusCode: null } });
}

/** Removes the row whatever its state: for one that has expired. */
export async function removeIdempotencyKey(db: CatalogQueries, id: string): Promise<void> {
  await db.idempotencyKey.deleteMany({ where: { id } });
}

/** Takes over a key whose request began before `since` and never ended: its process died. Of two that try, one succeeds. */
export async function takeOverIdempotencyKey(db: CatalogQueries, id: string, since: Date): Promise<boolean> {
  const { count } = await db.idempotencyKey.updateMany({
    where: { id, statusCode: null, createdAt: { lt: since } },
    data: { createdAt: new Date() },
  });
  return count === 1;
}
