import type { CheckFinding, DatabaseConnection } from '../engine.js';
import type { Brand } from './brand.js';
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
  const hidden = await hiddenRoutines(session, brand, schema, held);
  if (hidden.length > 0) {
    const statement =
      brand.kind === 'mysql'
        ? `GRANT SHOW_ROUTINE ON *.* TO ${grantee};`
        : `GRANT SELECT ON \`mysql\`.\`proc\` TO ${grantee};`;
    findings.push({
      severity: 'refuses',
      code: 'missing_privilege',
      message: `${connection.username} may not read the body of ${hidden.slice(0, 10).join(', ')}${hidden.length > 10 ? ' and more' : ''}.`,
      statement,
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

/** Routines whose text the role may not see: the dump tool would stop at them. */
async function hiddenRoutines(
  session: Session,
  brand: Brand,
  schema: string,
  held: Awaited<ReturnType<typeof readPrivileges>>,
): Promise<string[]> {
  const rows = await session.rows(
    'SELECT ROUTINE_NAME AS name, ROUTINE_DEFINITION AS body FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? ORDER BY 1',
    [schema],
    'Listing the routines failed',
  );
  const hidden = rows.filter((row) => row.body === null).map((row) => row.name ?? '');
  if (hidden.length > 0 || brand.kind === 'mysql') return hidden;
  // MariaDB hides a routine altogether from who may not execute it; who reads mysql.proc sees all of them.
  const sees =
    holdsPrivilege(held, 'SELECT', 'mysql') ||
    held.some((grant) => grant.schema === 'mysql' && grant.object === 'proc');
  return sees ? [] : hidden;
}
