import { findUser } from '../../catalog/accounts/users.js';
import { TidemarkError } from '../../domain/errors.js';
import type { UserResource } from '../../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from '../context.js';
import { toUserResource } from './user-resource.js';

/** A user: admins see everyone, others themselves; anyone else is `not_found`. */
export async function getUser(context: UsecaseContext, principal: Principal, userId: string): Promise<UserResource> {
  const visible = principal.role === 'admin' || principal.userId === userId;
  const user = visible ? await findUser(context.catalog.prisma, userId) : null;
  if (!user) throw new TidemarkError('not_found', `There is no user ${userId}.`, { object: userId });
  return toUserResource(user);
}
