import { removeSessionsOf } from '../../catalog/accounts/sessions.js';
import { endTokensOf, insertToken } from '../../catalog/accounts/tokens.js';
import { changeUser, findFirstAdmin, findUserByEmail, insertUser, lockAdmins } from '../../catalog/accounts/users.js';
import { recordAudit } from '../../catalog/audit-events.js';
import type { Catalog } from '../../catalog/client.js';
import { newId } from '../../domain/ids.js';
import { writeCredentials } from './credentials-file.js';
import { hashPassword } from './passwords.js';
import { hashSecret, newPassword, newTokenSecret } from './secrets.js';

/**
 * Lets an operator of the machine in again: gives an admin (that of the address, else the oldest) a new password and token, and ends
 * every earlier token and session of that admin. An address without a user becomes a new admin. The new credentials go into
 * TIDEMARK_HOME/admin-credentials; its path is returned, they are not.
 */
export async function resetAdmin(
  catalog: Catalog,
  home: string,
  input: { email?: string | undefined },
): Promise<{ email: string; credentialsFile: string }> {
  const password = newPassword();
  const token = newTokenSecret();
  const passwordHash = await hashPassword(password);
  return catalog.prisma.$transaction(
    async (tx) => {
      await lockAdmins(tx);
      const wanted = input.email?.toLowerCase();
      const found = wanted ? await findUserByEmail(tx, wanted) : await findFirstAdmin(tx);
      const email = found?.email ?? wanted ?? 'admin@localhost';
      const user = found
        ? await changeUser(tx, found.id, { role: 'admin', passwordHash })
        : await insertUser(tx, { id: newId('user'), email, role: 'admin', passwordHash });
      await endTokensOf(tx, user.id, new Date());
      await removeSessionsOf(tx, user.id);
      await insertToken(tx, {
        id: newId('token'),
        userId: user.id,
        name: 'admin reset',
        scopes: ['admin'],
        hash: hashSecret(token),
        expiresAt: null,
      });
      await recordAudit(tx, null, 'admin.reset', user.id, { email });
      // Last: when this fails the old credentials stay good.
      return { email, credentialsFile: writeCredentials(home, { email, password, token }) };
    },
    { timeout: 30_000 },
  );
}
