import { findTokens } from '../../catalog/accounts/tokens.js';
import type { TokenResource } from '../../domain/schemas/accounts.js';
import type { Page, PageQuery } from '../../domain/schemas/common.js';
import type { Principal, UsecaseContext } from '../context.js';
import { toTokenResource } from './token-resource.js';

/** The caller's tokens, newest first; admins see all. */
export async function listTokens(
  context: UsecaseContext,
  principal: Principal,
  query: PageQuery,
): Promise<Page<TokenResource>> {
  const { rows, nextCursor } = await findTokens(context.catalog.prisma, principal, query);
  return { items: rows.map(toTokenResource), nextCursor };
}
