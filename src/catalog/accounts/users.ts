import type { PageQuery } from '../../domain/schemas/common.js';
import type { UserRole } from '../../domain/statuses.js';
import type { CatalogQueries } from '../client.js';
import type { User } from '../generated/client.js';
import type { PageRequest } from '../paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from '../paging.js';
import type { Viewer } from '../scope.js';

export type { User } from '../generated/client.js';

/** The user with that address (addresses are kept in lower case), or null. */
export function findUserByEmail(db: CatalogQueries, email: string): Promise<User | null> {
  return db.user.findUnique({ where: { email } });
}

export function findUser(db: CatalogQueries, id: string): Promise<User | null> {
  return db.user.findUnique({ where: { id } });
}

export function insertUser(
  db: CatalogQueries,
  user: { id: string; email: string; role: UserRole; passwordHash: string },
): Promise<User> {
  return db.user.create({ data: user });
}

export function changeUser(
  db: CatalogQueries,
  id: string,
  change: { role?: UserRole; passwordHash?: string },
): Promise<User> {
  return db.user.update({ where: { id }, data: change });
}

export async function removeUser(db: CatalogQueries, id: string): Promise<void> {
  await db.user.delete({ where: { id } });
}

export function countAdmins(db: CatalogQueries): Promise<number> {
  return db.user.count({ where: { role: 'admin' } });
}

export function findFirstAdmin(db: CatalogQueries): Promise<User | null> {
  return db.user.findFirst({ where: { role: 'admin' }, orderBy: [{ createdAt: 'asc' }, { id: 'asc' }] });
}

/** Ids of what a user owns, deleted rows included: their history still names the owner. At most `limit`. */
export async function listOwnedIds(db: CatalogQueries, userId: string, limit: number): Promise<string[]> {
  const owned = { where: { ownerId: userId }, select: { id: true }, take: limit };
  const rows = [
    ...(await db.database.findMany(owned)),
    ...(await db.destination.findMany(owned)),
    ...(await db.plan.findMany(owned)),
    ...(await db.policy.findMany(owned)),
  ];
  return rows.slice(0, limit).map((row) => row.id);
}

// Serialises everything that could remove the last admin or make the first one ("admn" in ASCII).
const adminLock = 0x61646d6e;

/** Waits for the lock that guards the set of admins; held until the transaction ends. */
export async function lockAdmins(db: CatalogQueries): Promise<void> {
  await db.$executeRaw`select pg_advisory_xact_lock(${adminLock}::bigint)`;
}

/** Admins see everyone, others themselves. */
export async function findUsers(db: CatalogQueries, viewer: Viewer, query: PageQuery) {
  const page: PageRequest = { list: 'users', viewer, query };
  const rows = await db.user.findMany({
    where: { AND: [viewer.role === 'admin' ? {} : { id: viewer.userId }, afterKeyset(readCursor(page))] },
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}
