import { endToken } from '../../catalog/accounts/tokens.js';
import { recordAudit } from '../../catalog/audit-events.js';
import type { Principal, UsecaseContext } from '../context.js';
import { getToken } from './get-token.js';

/** Ends a token at once. Revoking a revoked one is a success and changes nothing. Throws `not_found`. */
export async function revokeToken(context: UsecaseContext, principal: Principal, tokenId: string): Promise<void> {
  await getToken(context, principal, tokenId);
  await context.catalog.prisma.$transaction(async (tx) => {
    if (await endToken(tx, tokenId, new Date())) {
      await recordAudit(tx, principal, 'token.revoked', tokenId);
    }
  });
}
