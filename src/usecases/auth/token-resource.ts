import type { Token } from '../../catalog/accounts/tokens.js';
import type { TokenResource } from '../../domain/schemas/accounts.js';
import type { TokenScope } from '../../domain/statuses.js';

/** A token as the API shows it: without its hash. */
export function toTokenResource(token: Token): TokenResource {
  return {
    id: token.id,
    name: token.name,
    scopes: token.scopes as TokenScope[],
    userId: token.userId,
    createdAt: token.createdAt.toISOString(),
    lastUsedAt: token.lastUsedAt?.toISOString() ?? null,
    expiresAt: token.expiresAt?.toISOString() ?? null,
    revokedAt: token.revokedAt?.toISOString() ?? null,
  };
}
