import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
import type { RestoreScope } from './restore-scope.js';
import type { Session } from './session.js';

/** `` `user`@`host` `` of every account and role of the server; null when the role may not read them. */
export async function readAccounts(session: Session): Promise<Set<string> | null> {
  try {
    const rows = await session.raw('SELECT User AS user, Host AS host FROM mysql.user');
    return new Set(rows.map((row) => accountKey(row.user ?? '', row.host ?? '')));
  } catch {
    return null;
  }
}

const accountKey = (user: string, host: string) => `${user}@${host}`;

/** The accounts that a fingerprint names as existing on its source, as definers or holders of grants. */
export function accountsIn(like: Fingerprint): string[] {
  return JSON.parse(like.database.accounts ?? '[]') as string[];
}

/**
 * Definers and holders of grants must be there beforehand: else a restored view or routine fails when it is called, and a grant is
 * silently gone. Accounts that were missing on the source already are not asked for.
 */
export async function requireAccounts(scope: RestoreScope, like: Fingerprint): Promise<void> {
  const needed = accountsIn(like);
  const present = needed.length === 0 ? null : await readAccounts(scope.control);
  if (present === null) return;
  const missing = needed.filter((account) => !present.has(account));
  if (missing.length === 0) return;
  const statement = missing.map((account) => `${createAccount(account)};`).join(' ');
  throw new TidemarkError(
    'roles_missing',
    `The backup names accounts as definers or holders of grants that the target server lacks. Create them there, then restore again: ${statement}`,
    { statement },
  );
}

function createAccount(account: string): string {
  const at = account.lastIndexOf('@');
  const user = account.slice(0, at).replaceAll("'", "''");
  const host = account.slice(at + 1).replaceAll("'", "''");
  // A role of MariaDB has no host.
  return host === '' ? `CREATE ROLE '${user}'` : `CREATE USER '${user}'@'${host}'`;
}
