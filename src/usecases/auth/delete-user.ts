import { countAdmins, findUser, listOwnedIds, lockAdmins, removeUser } from '../../catalog/accounts/users.js';
import { recordAudit } from '../../catalog/audit-events.js';
import { TidemarkError } from '../../domain/errors.js';
import type { Principal, UsecaseContext } from '../context.js';
import { requireAdmin } from './scopes.js';

const namedReferences = 20;

/**
 * Removes a user with all tokens and sessions; admins only. Refused with `still_referenced` while the user owns anything (also
 * deleted things, whose backups still name the owner) and with `conflict` for the last admin.
 */
export async function deleteUser(context: UsecaseContext, principal: Principal, userId: string): Promise<void> {
  requireAdmin(principal);
  await context.catalog.prisma.$transaction(async (tx) => {
    await lockAdmins(tx);
    const user = await findUser(tx, userId);
    if (!user) throw new TidemarkError('not_found', `There is no user ${userId}.`, { object: userId });
    if (user.role === 'admin' && (await countAdmins(tx)) === 1) {
      throw new TidemarkError('conflict', `${user.email} is the last administrator.`, { object: userId });
    }
    const references = await listOwnedIds(tx, userId, namedReferences);
    if (references.length > 0) {
      throw new TidemarkError(
        'still_referenced',
        `${user.email} still owns databases, destinations, plans or policies.`,
        {
          object: userId,
          references,
        },
      );
    }
    await removeUser(tx, userId);
    await recordAudit(tx, principal, 'user.deleted', userId, { email: user.email });
  });
}
