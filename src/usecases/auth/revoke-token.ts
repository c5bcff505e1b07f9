import { endToken } from '../../catalog/accounts/tokens.js';
import { recordAudit } from '../../catalog/audit-events.js';
import type { TokenResource } from '../../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from '../context.js';
import { getToken } from './get-token.js';
import { effectiveScopes, requireAdmin, requireScope } from './scopes.js';

/**
 * Ends a token at once. Revoking a revoked one is a success and changes nothing. Throws `not_found`; `forbidden` for a token of another
 * user without the rights of an administrator, and for one that may do more than the caller.
 */
export async function revokeToken(context: UsecaseContext, principal: Principal, tokenId: string): Promise<void> {
  assertMayRevoke(principal, await getToken(context, principal, tokenId));
  await context.catalog.prisma.$transaction(async (tx) => {
    if (await endToken(tx, tokenId, new Date())) {
      await recordAudit(tx, principal, 'token.revoked', tokenId);
    }
  });
}

/** A leaked token must not be able to shut out its betters. Ending itself is the one change that every token may make. */
function assertMayRevoke(principal: Principal, token: TokenResource): void {
  if (token.id === principal.tokenId) return;
  if (token.userId !== principal.userId) {
    requireAdmin(principal);
    return;
  }
  requireScope(principal, 'operate');
  // By what it may do now: a demoted admin must be able to end the tokens of better days.
  for (const scope of effectiveScopes(principal.role, token.scopes)) requireScope(principal, scope);
}
