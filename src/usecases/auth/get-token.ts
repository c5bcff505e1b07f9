import { findToken } from '../../catalog/accounts/tokens.js';
import { TidemarkError } from '../../domain/errors.js';
import type { TokenResource } from '../../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from '../context.js';
import { toTokenResource } from './token-resource.js';

/** A token of the caller (for admins: of anyone), without its secret. Throws `not_found`. */
export async function getToken(context: UsecaseContext, principal: Principal, tokenId: string): Promise<TokenResource> {
  const owner = principal.role === 'admin' ? null : principal.userId;
  const token = await findToken(context.catalog.prisma, tokenId, owner);
  if (!token) throw new TidemarkError('not_found', `There is no token ${tokenId}.`, { object: tokenId });
  return toTokenResource(token);
}
