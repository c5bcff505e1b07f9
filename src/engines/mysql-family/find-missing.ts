import type { CheckFinding, DatabaseConnection } from '../engine.js';
import type { Brand } from './brand.js';
import type { HeldGrant } from './privileges.js';
import { holdsPrivilege, readPrivileges } from './privileges.js';
import { quoteName } from './quote.js';
import type { Session } from './session.js';
import type { TableEntry } from './table-shapes.js';

/** What the role lacks, each with the statement that grants it. */
export async function findMissingPrivileges(
  session: Session,
  brand: Brand,
  connection: DatabaseConnection,
  tables: readonly TableEntry[],
): Promise<CheckFinding[]> {
  const held = await readPrivileges(session);
  const account = await session.value('SELECT CURRENT_USER()');
  const at = account?.lastIndexOf('@') ?? -1;
  const grantee =
    account && at >= 0
      ? `${quoteName(account.slice(0, at))}@${quoteName(account.slice(at + 1))}`
      : quoteName(connection.username);
  const schema = connection.database;
  const onSchema = `${quoteName(schema.replaceAll('_', '\\_').replaceAll('%', '\\%'))}.*`;
  const findings: CheckFinding[] = [];
  const need = (severity: CheckFinding['severity'], privilege: string, why: string, scope: string | null = schema) => {
    if (holdsPrivilege(held, privilege, scope)) return;
    findings.push({
      severity,
      code: 'missing_privilege',
      message: `${connection.username} lacks ${privilege}: ${why}`,
      statement: `GRANT ${privilege} ON ${scope === null ? '*.*' : onSchema} TO ${grantee};`,
    });
  };
  need('refuses', 'SELECT', `without it the rows of ${schema} cannot be read.`);
  if (tables.some((table) => table.kind === 'view')) {
    need('refuses', 'SHOW VIEW', 'without it the definitions of views cannot be read.');
  }
  need('refuses', 'TRIGGER', 'without it triggers are invisible and would be left out.');
  need('refuses', 'EVENT', 'without it events are invisible and would be left out.');
  need(
    'warns',
    'LOCK TABLES',
    'without it writes cannot be stopped for the moment in which the snapshots are opened, and a busy source gives no fingerprint.',
  );
  // Routines that the role may not run are invisible to it: their absence cannot be noticed, so the right to see all is required.
  if (!seesRoutines(brand, held)) {
    findings.push({
      severity: 'refuses',
      code: 'missing_privilege',
      message: `${connection.username} lacks the right to read all routines: without it those that it may not run are invisible and would be left out.`,
      statement:
        brand.kind === 'mysql'
          ? `GRANT SHOW_ROUTINE ON *.* TO ${grantee};`
          : `GRANT SELECT ON \`mysql\`.\`proc\` TO ${grantee};`,
    });
  }
  if (brand.kind === 'mysql') {
    need(
      'info',
      'REPLICATION CLIENT',
      'without it the binary log file and offset of a backup are not recorded; GTIDs are.',
      null,
    );
  }
  return findings;
}

function seesRoutines(brand: Brand, held: readonly HeldGrant[]): boolean {
  if (holdsPrivilege(held, 'SELECT', null)) return true;
  if (brand.kind === 'mysql') return holdsPrivilege(held, 'SHOW_ROUTINE', null);
  return (
    holdsPrivilege(held, 'SELECT', 'mysql') ||
    held.some((grant) => grant.schema === 'mysql' && grant.object === 'proc' && grant.privileges.has('SELECT'))
  );
}
