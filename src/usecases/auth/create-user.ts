import { findUserByEmail, insertUser, lockAdmins } from '../../catalog/accounts/users.js';
import { recordAudit } from '../../catalog/audit-events.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { CreateUser, UserResource } from '../../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from '../context.js';
import { hashPassword } from './passwords.js';
import { requireAdmin } from './scopes.js';
import { toUserResource } from './user-resource.js';

/** Adds a user; admins only. Throws `conflict` when the address is taken. */
export async function createUser(
  context: UsecaseContext,
  principal: Principal,
  input: CreateUser,
): Promise<UserResource> {
  requireAdmin(principal);
  const passwordHash = await hashPassword(input.password);
  return context.catalog.prisma.$transaction(async (tx) => {
    // Two requests for one address at once: the second waits here and then sees the first one's row.
    await lockAdmins(tx);
    const taken = await findUserByEmail(tx, input.email);
    if (taken) throw new TidemarkError('conflict', `A user ${input.email} exists.`, { object: taken.id });
    const user = await insertUser(tx, { id: newId('user'), email: input.email, role: input.role, passwordHash });
    const details = { email: user.email, role: user.role };
    await recordAudit(tx, principal, 'user.created', user.id, details);
    return toUserResource(user);
  });
}
