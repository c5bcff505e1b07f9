import { accountName } from './quote.js';
import type { Row, Session } from './session.js';

/**
 * Grants on one database and what is in it, without its name, so that they can be compared and given again under another name.
 * Only grants that name the database itself: a pattern such as `shop%` belongs to the server and stays there.
 */
export type DatabaseGrants = {
  /** False when the role cannot read the accounts of the server: then only its own grants are listed. */
  readonly complete: boolean;
  readonly database: readonly string[];
  /** By table, view or sequence name; column grants too. */
  readonly tables: ReadonlyMap<string, readonly string[]>;
  /** By `procedure name` or `function name`. */
  readonly routines: ReadonlyMap<string, readonly string[]>;
};

function collect(
  rows: readonly Row[],
  describe: (row: Row) => { key: string; privilege: string },
): Map<string, string[]> {
  const byHolder = new Map<string, { key: string; grantee: string; grantable: boolean; privileges: Set<string> }>();
  for (const row of rows) {
    const { key, privilege } = describe(row);
    const grantee = row.grantee ?? '';
    const id = JSON.stringify([key, grantee]);
    const entry = byHolder.get(id) ?? { key, grantee, grantable: false, privileges: new Set<string>() };
    if (privilege !== 'USAGE') entry.privileges.add(privilege);
    if (row.grantable === 'YES') entry.grantable = true;
    byHolder.set(id, entry);
  }
  const result = new Map<string, string[]>();
  for (const { key, grantee, grantable, privileges } of byHolder.values()) {
    if (privileges.size === 0 && !grantable) continue;
    const list = result.get(key) ?? [];
    list.push(`${[...privileges].sort().join(', ') || 'USAGE'} TO ${grantee}${grantable ? ' WITH GRANT OPTION' : ''}`);
    result.set(key, list);
  }
  for (const list of result.values()) list.sort();
  return result;
}

/** `'user'@'host'` of information_schema, quoted anew; a MariaDB role has no host. */
function normaliseGrantee(text: string): string {
  const match = /^'(.*)'@'(.*)'$/s.exec(text);
  return match ? accountName(match[1] ?? '', match[2] ?? '') : accountName(text.replace(/^'(.*)'$/s, '$1'), '');
}

/** The routine grants stand only in the server's own tables. */
async function routineGrants(session: Session, schema: string): Promise<Map<string, string[]>> {
  const rows = await session.raw(
    'SELECT User AS user, Host AS host, Routine_name AS name, Routine_type AS type, Proc_priv AS privileges FROM mysql.procs_priv WHERE Db = ?',
    [schema],
  );
  const single = rows.flatMap((row) =>
    (row.privileges ?? '').split(',').map((privilege) => ({
      ...row,
      grantee: accountName(row.user ?? '', row.host ?? ''),
      privilege: privilege.toUpperCase() === 'GRANT' ? 'USAGE' : privilege.toUpperCase(),
      grantable: privilege.toUpperCase() === 'GRANT' ? 'YES' : 'NO',
    })),
  );
  return collect(single, (row) => ({
    key: `${(row.type ?? '').toLowerCase()} ${row.name}`,
    privilege: row.privilege ?? '',
  }));
}

export async function readGrants(session: Session, schema: string): Promise<DatabaseGrants> {
  let routines = new Map<string, string[]>();
  let complete = true;
  try {
    routines = await routineGrants(session, schema);
  } catch {
    complete = false;
  }
  // In the grant tables `_` and `%` of a name are usually escaped, being patterns otherwise.
  const escaped = schema.replaceAll('\\', '\\\\').replaceAll('_', '\\_').replaceAll('%', '\\%');
  const database = await session.rows(
    `SELECT GRANTEE AS grantee, PRIVILEGE_TYPE AS privilege, IS_GRANTABLE AS grantable FROM information_schema.SCHEMA_PRIVILEGES
     WHERE BINARY TABLE_SCHEMA IN (?, ?)`,
    [schema, escaped],
  );
  const tables = await session.rows(
    `SELECT GRANTEE AS grantee, TABLE_NAME AS name, PRIVILEGE_TYPE AS privilege, IS_GRANTABLE AS grantable, NULL AS column_name
     FROM information_schema.TABLE_PRIVILEGES WHERE TABLE_SCHEMA = ?
     UNION ALL
     SELECT GRANTEE, TABLE_NAME, PRIVILEGE_TYPE, IS_GRANTABLE, COLUMN_NAME
     FROM information_schema.COLUMN_PRIVILEGES WHERE TABLE_SCHEMA = ?`,
    [schema, schema],
  );
  const clean = (row: Row): Row => ({ ...row, grantee: normaliseGrantee(row.grantee ?? '') });
  return {
    complete,
    database: collect(database.map(clean), (row) => ({ key: '', privilege: row.privilege ?? '' })).get('') ?? [],
    tables: collect(tables.map(clean), (row) => ({
      key: row.name ?? '',
      privilege:
        row.column_name === null || row.column_name === undefined
          ? (row.privilege ?? '')
          : `${row.privilege} (\`${row.column_name.replaceAll('`', '``')}\`)`,
    })),
    routines,
  };
}

/** `user@host` of a grant line as made here; a role of MariaDB has an empty host. */
export function granteeOf(line: string): string | null {
  const match = / TO `((?:[^`]|``)*)`(?:@`((?:[^`]|``)*)`)?(?: WITH GRANT OPTION)?$/.exec(line);
  return match ? `${(match[1] ?? '').replaceAll('``', '`')}@${(match[2] ?? '').replaceAll('``', '`')}` : null;
}
