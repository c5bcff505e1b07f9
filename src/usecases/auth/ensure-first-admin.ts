import { insertToken } from '../../catalog/accounts/tokens.js';
import { countAdmins, findUserByEmail, insertUser, lockAdmins } from '../../catalog/accounts/users.js';
import { recordAudit } from '../../catalog/audit-events.js';
import type { Catalog } from '../../catalog/client.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { AdminCredentials } from './credentials-file.js';
import { writeCredentials } from './credentials-file.js';
import { hashPassword } from './passwords.js';
import { hashSecret, newPassword, newTokenSecret } from './secrets.js';

export type FirstAdmin = {
  readonly email: string;
  readonly password: string | undefined;
  readonly token: string | undefined;
};

/**
 * Makes the first admin of a new installation (design section 9): from the environment, and what that leaves out is generated into
 * TIDEMARK_HOME/admin-credentials. Does nothing where an admin exists: the environment is no way to change one.
 * Returns the path of the file when one was written.
 */
export async function ensureFirstAdmin(
  catalog: Catalog,
  home: string,
  wanted: FirstAdmin,
): Promise<{ created: boolean; credentialsFile: string | null }> {
  return catalog.prisma.$transaction(
    async (tx) => {
      // Several API processes may start on one new catalog.
      await lockAdmins(tx);
      if ((await countAdmins(tx)) > 0) return { created: false, credentialsFile: null };
      const email = wanted.email.toLowerCase();
      if (await findUserByEmail(tx, email)) {
        throw new TidemarkError('conflict', `TIDEMARK_ADMIN_EMAIL names ${email}, who exists and is no administrator.`);
      }
      const password = wanted.password ?? newPassword();
      const token = wanted.token ?? newTokenSecret();
      const generated: AdminCredentials = {
        email,
        ...(wanted.password === undefined ? { password } : {}),
        ...(wanted.token === undefined ? { token } : {}),
      };
      const needsFile = wanted.password === undefined || wanted.token === undefined;
      // Before the rows: a crash in between leaves a file that the next start overwrites, never an admin nobody can be.
      const credentialsFile = needsFile ? writeCredentials(home, generated) : null;
      const user = await insertUser(tx, {
        id: newId('user'),
        email,
        role: 'admin',
        passwordHash: await hashPassword(password),
      });
      await insertToken(tx, {
        id: newId('token'),
        userId: user.id,
        name: 'first admin',
        scopes: ['admin'],
        hash: hashSecret(token),
        expiresAt: null,
      });
      await recordAudit(tx, null, 'user.created', user.id, { email, role: 'admin', first: true });
      return { created: true, credentialsFile };
    },
    { timeout: 30_000 },
  );
}
