import type { PageQuery } from '../../domain/schemas/common.js';
import type { TokenScope } from '../../domain/statuses.js';
import type { CatalogQueries } from '../client.js';
import type { Token, User } from '../generated/client.js';
import type { PageRequest } from '../paging.js';
import { afterKeyset, cutPage, newestFirst, readCursor } from '../paging.js';
import type { Viewer } from '../scope.js';

export type { Token } from '../generated/client.js';

export function insertToken(
  db: CatalogQueries,
  token: { id: string; userId: string; name: string; scopes: TokenScope[]; hash: string; expiresAt: Date | null },
): Promise<Token> {
  return db.token.create({ data: token });
}

/** The token with that hash and its user, whether or not it still counts. */
export function findTokenByHash(db: CatalogQueries, hash: string): Promise<(Token & { user: User }) | null> {
  return db.token.findUnique({ where: { hash }, include: { user: true } });
}

/** The token if it belongs to the user; with `userId` null whoever it belongs to. */
export function findToken(db: CatalogQueries, id: string, userId: string | null): Promise<Token | null> {
  return db.token.findFirst({ where: { id, ...(userId === null ? {} : { userId }) } });
}

/** Ends a token; the time of the first revocation stays. Returns false when it had ended before. */
export async function endToken(db: CatalogQueries, id: string, at: Date): Promise<boolean> {
  const { count } = await db.token.updateMany({ where: { id, revokedAt: null }, data: { revokedAt: at } });
  return count === 1;
}

/** Ends every token of a user; returns how many. */
export async function endTokensOf(db: CatalogQueries, userId: string, at: Date): Promise<number> {
  const { count } = await db.token.updateMany({ where: { userId, revokedAt: null }, data: { revokedAt: at } });
  return count;
}

/** Notes that a token was used; `before` keeps a busy token from writing a row per request. */
export async function touchToken(db: CatalogQueries, id: string, at: Date, before: Date): Promise<void> {
  await db.token.updateMany({
    where: { id, OR: [{ lastUsedAt: null }, { lastUsedAt: { lt: before } }] },
    data: { lastUsedAt: at },
  });
}

/** Admins see all tokens, others their own. */
export async function findTokens(db: CatalogQueries, viewer: Viewer, query: PageQuery) {
  const page: PageRequest = { list: 'tokens', viewer, query };
  const rows = await db.token.findMany({
    where: { AND: [viewer.role === 'admin' ? {} : { userId: viewer.userId }, afterKeyset(readCursor(page))] },
    orderBy: [...newestFirst],
    take: query.limit + 1,
  });
  return cutPage(page, rows, (row) => row.createdAt);
}
