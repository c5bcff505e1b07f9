import type { Session } from './connect.js';
import { quoteName, quoteText } from './quote.js';

/** Settings whose value is a list of names; each is quoted by itself (PostgreSQL marks them GUC_LIST_QUOTE). */
const listSettings = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/** Splits `"$user", public` at commas outside double quotes. */
function splitList(value: string): string[] {
  return [...value.matchAll(/"(?:[^"]|"")*"|[^,"\s]+/g)].map(([part]) =>
    part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part,
  );
}

/** `name=value`, as stored in pg_db_role_setting, as the tail of an ALTER … SET. */
export function settingClause(stored: string): string {
  const at = stored.indexOf('=');
  const name = stored.slice(0, at);
  const value = stored.slice(at + 1);
  const parts = listSettings.has(name) ? splitList(value) : [value];
  return `SET ${quoteName(name)} TO ${parts.length === 0 ? "''" : parts.map(quoteText).join(', ')}`;
}

/**
 * Statements that give `to` what `from` has outside its content: owner, grants, connection limit, template flag, settings of
 * the database and of roles in it, comment. After a rename without them applications are locked out, or meet another search_path.
 */
export async function carryStatements(session: Session, from: string, to: string): Promise<string[]> {
  const database = quoteName(to);
  const [source] = await session.rows(`
    SELECT d.oid::text, pg_catalog.pg_get_userbyid(d.datdba) AS owner, d.datconnlimit::text AS connection_limit, d.datistemplate AS is_template,
      pg_catalog.shobj_description(d.oid, 'pg_database') AS comment
    FROM pg_catalog.pg_database d WHERE d.datname = ${quoteText(from)}`);
  if (source === undefined) return [];
  const statements: string[] = [];
  const grants = (name: string) =>
    session.rows(`
      SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee) END AS grantee, a.privilege_type, a.is_grantable
      FROM pg_catalog.pg_database d, pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
      WHERE d.datname = ${quoteText(name)} ORDER BY 1 NULLS FIRST, 2`);
  const grantee = (name: string | null | undefined) => (name == null ? 'PUBLIC' : quoteName(name));

  // The owner first: grants are then given in the owner's name, as they were.
  statements.push(`ALTER DATABASE ${database} OWNER TO ${quoteName(source.owner ?? '')}`);
  const present = new Set((await grants(to)).map((row) => grantee(row.grantee)));
  for (const name of new Set([...present, 'PUBLIC', quoteName(source.owner ?? '')]))
    statements.push(`REVOKE ALL ON DATABASE ${database} FROM ${name}`);
  for (const row of await grants(from))
    statements.push(
      `GRANT ${row.privilege_type} ON DATABASE ${database} TO ${grantee(row.grantee)}${row.is_grantable === 't' ? ' WITH GRANT OPTION' : ''}`,
    );

  statements.push(`ALTER DATABASE ${database} CONNECTION LIMIT ${Number(source.connection_limit ?? -1)}`);
  if (source.is_template === 't') statements.push(`ALTER DATABASE ${database} IS_TEMPLATE true`);
  const settings = await session.rows(`
    SELECT r.rolname, unnest(s.setconfig) AS setting FROM pg_catalog.pg_db_role_setting s
    JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    WHERE d.datname = ${quoteText(from)} ORDER BY 1 NULLS FIRST, 2`);
  for (const row of settings) {
    const clause = settingClause(row.setting ?? '');
    statements.push(
      row.rolname == null
        ? `ALTER DATABASE ${database} ${clause}`
        : `ALTER ROLE ${quoteName(row.rolname)} IN DATABASE ${database} ${clause}`,
    );
  }
  if (source.comment != null) statements.push(`COMMENT ON DATABASE ${database} IS ${quoteText(source.comment)}`);
  return statements;
}
