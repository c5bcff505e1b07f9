import { findSessionByHash } from '../../catalog/accounts/sessions.js';
import { findTokenByHash, touchToken } from '../../catalog/accounts/tokens.js';
import { TidemarkError } from '../../domain/errors.js';
import type { UserRole } from '../../domain/statuses.js';
import type { Principal, UsecaseContext } from '../context.js';
import { effectiveScopes, scopesOfRole } from './scopes.js';
import { hashSecret } from './secrets.js';

type Context = Pick<UsecaseContext, 'catalog' | 'logger'>;

const useNotedEveryMs = 60_000;

/** The caller behind a bearer token. Throws `unauthenticated`, without saying whether the token was wrong, expired or revoked. */
export async function authenticateToken(context: Context, secret: string, requestId: string): Promise<Principal> {
  const db = context.catalog.prisma;
  const token = await findTokenByHash(db, hashSecret(secret));
  const now = new Date();
  if (!token || token.revokedAt || (token.expiresAt && token.expiresAt <= now)) {
    throw new TidemarkError('unauthenticated', 'The bearer token is not valid, has expired or was revoked.');
  }
  await touchToken(db, token.id, now, new Date(now.getTime() - useNotedEveryMs));
  const role = token.user.role as UserRole;
  return { userId: token.userId, role, scopes: effectiveScopes(role, token.scopes), tokenId: token.id, requestId };
}

/** The caller behind a browser's session cookie, and the session. Throws `unauthenticated`. */
export async function authenticateSession(
  context: Context,
  secret: string,
  requestId: string,
): Promise<{ principal: Principal; sessionId: string }> {
  const session = await findSessionByHash(context.catalog.prisma, hashSecret(secret));
  if (!session || session.expiresAt <= new Date()) {
    throw new TidemarkError('unauthenticated', 'The session has ended; sign in again.');
  }
  const role = session.user.role as UserRole;
  return {
    principal: { userId: session.userId, role, scopes: scopesOfRole(role), tokenId: null, requestId },
    sessionId: session.id,
  };
}
