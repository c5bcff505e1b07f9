import type { PageQuery } from '../../domain/schemas/common.js';
import type { CatalogQueries } from '../client.js';
import type { Session, User } from '../generated/client.js';
import type { PageRequest } from '../paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from '../paging.js';
import type { Viewer } from '../scope.js';

export type { Session } from '../generated/client.js';

export function insertSession(
  db: CatalogQueries,
  session: { id: string; userId: string; hash: string; expiresAt: Date },
): Promise<Session> {
  return db.session.create({ data: session });
}

/** The session with that hash and its user, whether or not it has expired. */
export function findSessionByHash(db: CatalogQueries, hash: string): Promise<(Session & { user: User }) | null> {
  return db.session.findUnique({ where: { hash }, include: { user: true } });
}

/** Ends a session of the user; false when there is none. */
export async function removeSession(db: CatalogQueries, id: string, userId: string): Promise<boolean> {
  const { count } = await db.session.deleteMany({ where: { id, userId } });
  return count === 1;
}

/** Ends every session of a user; returns how many. */
export async function removeSessionsOf(db: CatalogQueries, userId: string): Promise<number> {
  const { count } = await db.session.deleteMany({ where: { userId } });
  return count;
}

/** The caller's own sessions, whatever the role: a list of everyone's would help nobody but a thief. */
export async function findSessions(db: CatalogQueries, viewer: Viewer, query: PageQuery) {
  const page: PageRequest = { list: 'sessions', viewer, query };
  const rows = await db.session.findMany({
    where: { AND: [{ userId: viewer.userId, expiresAt: { gt: new Date() } }, afterKeyset(readCursor(page))] },
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}
