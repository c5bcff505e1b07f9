import { findUsers } from '../../catalog/accounts/users.js';
import type { UserResource } from '../../domain/schemas/accounts.js';
import type { Page, PageQuery } from '../../domain/schemas/common.js';
import type { Principal, UsecaseContext } from '../context.js';
import { toUserResource } from './user-resource.js';

/** Everyone for admins, the caller alone for others; newest first. */
export async function listUsers(
  context: UsecaseContext,
  principal: Principal,
  query: PageQuery,
): Promise<Page<UserResource>> {
  const { rows, nextCursor } = await findUsers(context.catalog.prisma, principal, query);
  return { items: rows.map(toUserResource), nextCursor };
}
