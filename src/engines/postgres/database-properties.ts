import type { Session } from './connect.js';
import { quoteName, quoteText } from './quote.js';

/**
 * What a database has outside its content: who owns it and may enter it, and how its sessions are set up. Neither a dump nor a rename
 * takes these along. Lists are sorted, so that equal means equal.
 */
export type OuterProperties = {
  readonly owner: string;
  /** `[grantee or null for PUBLIC, privilege, grantable]`, the built-in defaults spelled out. */
  readonly grants: readonly (readonly [string | null, string, boolean])[];
  /** `[role or null for everybody, 'name=value']`. */
  readonly settings: readonly (readonly [string | null, string])[];
  readonly connectionLimit: number;
  readonly comment: string | null;
};

/** Null when there is no such database. */
export async function readOuterProperties(session: Session, database: string): Promise<OuterProperties | null> {
  const [row] = await session.rows(`
    SELECT pg_catalog.pg_get_userbyid(d.datdba) AS owner, d.datconnlimit::text AS connection_limit,
      pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
      (SELECT coalesce(json_agg(json_build_array(g.grantee, g.privilege_type, g.is_grantable) ORDER BY g.grantee COLLATE "C" NULLS FIRST, g.privilege_type), '[]')
        FROM (SELECT DISTINCT CASE a.grantee WHEN 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END AS grantee, a.privilege_type, a.is_grantable
          FROM pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a) g) AS grants,
      (SELECT coalesce(json_agg(json_build_array(s.rolname, s.setting) ORDER BY s.rolname COLLATE "C" NULLS FIRST, s.setting COLLATE "C"), '[]')
        FROM (SELECT r.rolname::text, pg_catalog.unnest(x.setconfig) AS setting FROM pg_catalog.pg_db_role_setting x
          LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.setrole WHERE x.setdatabase = d.oid) s) AS settings
    FROM pg_catalog.pg_database d WHERE d.datname = ${quoteText(database)}`);
  if (row === undefined) return null;
  return {
    owner: row.owner ?? '',
    grants: JSON.parse(row.grants ?? '[]') as OuterProperties['grants'],
    settings: JSON.parse(row.settings ?? '[]') as OuterProperties['settings'],
    connectionLimit: Number(row.connection_limit ?? -1),
    comment: row.comment ?? null,
  };
}

/** Roles that objects of this database name: owners, grantees, policies. Without what extensions bring (a restore's extensions belong to the restorer) and temporary tables. */
async function readNamedRoles(session: Session, database: string): Promise<string[]> {
  const rows = await session.rows(`
    SELECT DISTINCT r.rolname FROM pg_catalog.pg_shdepend s
    JOIN pg_catalog.pg_database d ON d.oid = s.dbid JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
    WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND d.datname = ${quoteText(database)} AND s.deptype <> 'i'
      AND s.classid <> 'pg_catalog.pg_extension'::regclass
      AND NOT (s.deptype = 'o' AND EXISTS (SELECT 1 FROM pg_catalog.pg_depend x WHERE x.classid = s.classid AND x.objid = s.objid AND x.deptype = 'e'))
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE s.classid = 'pg_catalog.pg_class'::regclass AND c.oid = s.objid AND c.relpersistence = 't')
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid
        LEFT JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid WHERE n.nspname ~ '^pg_temp_' AND s.objid IN (p.oid, t.oid, n.oid))
    ORDER BY 1`);
  return rows.map((row) => row.rolname ?? '');
}

/** The `database` part of a fingerprint: how it was created (encoding, locale), and every role that its objects name. */
export async function readDatabaseProperties(
  session: Session,
  database: string,
): Promise<Record<string, string | null>> {
  // The catalog's columns differ between majors, so the whole row is read as JSON.
  const [row] = await session.rows(`
    SELECT pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, pg_catalog.to_jsonb(d) AS properties
    FROM pg_catalog.pg_database d WHERE d.datname = ${quoteText(database)}`);
  const created = JSON.parse(row?.properties ?? '{}') as Record<string, string | null>;
  const roles = await readNamedRoles(session, database);
  return {
    encoding: row?.encoding ?? null,
    collate: created.datcollate ?? null,
    ctype: created.datctype ?? null,
    provider: created.datlocprovider ?? null,
    locale: created.datlocale ?? created.daticulocale ?? null,
    icuRules: created.daticurules ?? null,
    roles: JSON.stringify(roles),
  };
}

/** Roles that the outer properties name. */
export function rolesOfProperties(properties: OuterProperties): string[] {
  const names = [
    properties.owner,
    ...properties.grants.map(([role]) => role),
    ...properties.settings.map(([role]) => role),
  ];
  return names.filter((name) => name !== null);
}

/** Settings whose value is a list of names, each quoted by itself (PostgreSQL marks them GUC_LIST_QUOTE). */
const listSettings = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/** Splits `"$user", public` at what is outside double quotes. */
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

/** Statements that turn the outer properties of `database` from `present` into `wanted`. */
export function changeProperties(database: string, present: OuterProperties, wanted: OuterProperties): string[] {
  const name = quoteName(database);
  const role = (grantee: string | null) => (grantee === null ? 'PUBLIC' : quoteName(grantee));
  const statements: string[] = [];
  // The owner first: grants are then given in the owner's name.
  if (present.owner !== wanted.owner) statements.push(`ALTER DATABASE ${name} OWNER TO ${quoteName(wanted.owner)}`);
  if (present.owner !== wanted.owner || JSON.stringify(present.grants) !== JSON.stringify(wanted.grants)) {
    const grantees = new Set([...present.grants, ...wanted.grants].map(([grantee]) => role(grantee)));
    for (const grantee of grantees) statements.push(`REVOKE ALL ON DATABASE ${name} FROM ${grantee} CASCADE`);
    for (const [grantee, privilege, grantable] of wanted.grants)
      statements.push(
        `GRANT ${privilege} ON DATABASE ${name} TO ${role(grantee)}${grantable ? ' WITH GRANT OPTION' : ''}`,
      );
  }
  if (present.connectionLimit !== wanted.connectionLimit)
    statements.push(`ALTER DATABASE ${name} CONNECTION LIMIT ${wanted.connectionLimit}`);
  const alter = (grantee: string | null) =>
    grantee === null ? `ALTER DATABASE ${name}` : `ALTER ROLE ${quoteName(grantee)} IN DATABASE ${name}`;
  if (JSON.stringify(present.settings) !== JSON.stringify(wanted.settings)) {
    for (const grantee of new Set(present.settings.map(([who]) => who))) statements.push(`${alter(grantee)} RESET ALL`);
    for (const [grantee, setting] of wanted.settings) statements.push(`${alter(grantee)} ${settingClause(setting)}`);
  }
  if (present.comment !== wanted.comment)
    statements.push(`COMMENT ON DATABASE ${name} IS ${wanted.comment === null ? 'NULL' : quoteText(wanted.comment)}`);
  return statements;
}
