import { removeSessionsOf } from '../../catalog/accounts/sessions.js';
import { changeUser, countAdmins, findUser, lockAdmins } from '../../catalog/accounts/users.js';
import { recordAudit } from '../../catalog/audit-events.js';
import { TidemarkError } from '../../domain/errors.js';
import type { UpdateUser, UserResource } from '../../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from '../context.js';
import { hashPassword } from './passwords.js';
import { requireAdmin } from './scopes.js';
import { toUserResource } from './user-resource.js';

/** Changes role or password; admins only. A new password ends the user's sessions. The last admin stays one (`conflict`). */
export async function updateUser(
  context: UsecaseContext,
  principal: Principal,
  input: { id: string; change: UpdateUser },
): Promise<UserResource> {
  requireAdmin(principal);
  const { role, password } = input.change;
  const passwordHash = password === undefined ? undefined : await hashPassword(password);
  return context.catalog.prisma.$transaction(async (tx) => {
    await lockAdmins(tx);
    const before = await findUser(tx, input.id);
    if (!before) throw new TidemarkError('not_found', `There is no user ${input.id}.`, { object: input.id });
    if (before.role === 'admin' && role === 'user' && (await countAdmins(tx)) === 1) {
      throw new TidemarkError('conflict', `${before.email} is the last administrator.`, { object: before.id });
    }
    const after = await changeUser(tx, input.id, {
      ...(role === undefined ? {} : { role }),
      ...(passwordHash === undefined ? {} : { passwordHash }),
    });
    if (passwordHash !== undefined) await removeSessionsOf(tx, input.id);
    const details = { role: after.role, passwordChanged: passwordHash !== undefined };
    await recordAudit(tx, principal, 'user.updated', input.id, details);
    return toUserResource(after);
  });
}
