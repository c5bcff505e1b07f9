import type { CheckFinding, DatabaseConnection } from '../engine.js';
import type { Session } from './connect.js';
import { listNames, quoteName } from './quote.js';
import { USER_SCHEMAS } from './read-fingerprint.js';

/** Relations that a dump reads: tables, partitions, sequences; extensions bring their own. */
const DUMPED = `c.relpersistence <> 't' AND ${USER_SCHEMAS} AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`;

async function names(session: Session, sql: string): Promise<string[]> {
  return (await session.rows(sql)).map((row) => Object.values(row)[0] ?? '');
}

/** What the role lacks to dump everything, each with the statement that grants it. All of these make a dump impossible. */
export async function findMissingPrivileges(session: Session, connection: DatabaseConnection): Promise<CheckFinding[]> {
  const role = quoteName(connection.username);
  const findings: CheckFinding[] = [];
  const refuse = (code: string, message: string, statement: string | null) =>
    findings.push({ severity: 'refuses', code, message, statement });

  const unreadable = await names(
    session,
    `SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'S') AND ${DUMPED} AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND
       CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END)
     ORDER BY 1`,
  );
  if (unreadable.length > 0)
    refuse(
      'missing_privilege',
      `${connection.username} may not read ${unreadable.length} tables or sequences: ${listNames(unreadable)}.`,
      `GRANT pg_read_all_data TO ${role};`,
    );

  const secured = await names(
    session,
    `SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relrowsecurity AND ${DUMPED} AND NOT (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
       AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')) ORDER BY 1`,
  );
  if (secured.length > 0)
    refuse(
      'row_security',
      `Row security hides rows of ${listNames(secured)} from ${connection.username}; a dump without them would be untrue.`,
      `ALTER ROLE ${role} BYPASSRLS;`,
    );

  const hiddenObjects = await names(
    session,
    `SELECT m.oid::text FROM pg_catalog.pg_largeobject_metadata m
     WHERE NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
       AND NOT (pg_catalog.current_setting('server_version_num')::int >= 180000 AND pg_catalog.pg_has_role('pg_read_all_data', 'USAGE'))
       AND pg_catalog.current_setting('lo_compat_privileges') = 'off' AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE')
       AND NOT EXISTS (SELECT 1 FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
         AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE')))
     ORDER BY m.oid`,
  );
  if (hiddenObjects.length > 0)
    refuse(
      'large_objects_unreadable',
      `${connection.username} may not read ${hiddenObjects.length} large objects: ${listNames(hiddenObjects)}. New ones need the grant again; a superuser does not.`,
      `DO $$ DECLARE id oid; BEGIN FOR id IN SELECT oid FROM pg_largeobject_metadata LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', id, '${connection.username.replaceAll("'", "''")}'); END LOOP; END $$;`,
    );
  return findings;
}

/** What a dump leaves out, and what stands in the way of log archiving and change streams (design section 4, «Said at check and attach»). */
export async function findRemarks(session: Session, isReplica: boolean): Promise<CheckFinding[]> {
  const findings: CheckFinding[] = [];
  const say = (severity: 'warns' | 'info', code: string, message: string, statement: string | null = null) =>
    findings.push({ severity, code, message, statement });

  const unlogged = await names(
    session,
    `SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND ${DUMPED} ORDER BY 1`,
  );
  if (unlogged.length > 0 && isReplica)
    say(
      'warns',
      'unlogged_tables',
      `A replica holds no rows of unlogged tables, so this dump leaves them out: ${listNames(unlogged)}.`,
    );
  else if (unlogged.length > 0)
    say(
      'info',
      'unlogged_tables',
      `Unlogged tables are in dumps, but in no log archive or stream: ${listNames(unlogged)}.`,
    );

  const foreign = await names(
    session,
    `SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'f' AND ${DUMPED} ORDER BY 1`,
  );
  if (foreign.length > 0)
    say(
      'warns',
      'foreign_tables',
      `The rows of foreign tables live elsewhere and are not in a dump: ${listNames(foreign)}.`,
    );

  const hiddenParts = await names(
    session,
    `SELECT name FROM (
       SELECT 'subscription ' || s.subname AS name FROM pg_catalog.pg_subscription s
         JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()
       UNION ALL SELECT 'options of the user mapping of ' || usename || ' on ' || srvname FROM pg_catalog.pg_user_mappings WHERE umoptions IS NULL) h
     WHERE NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) ORDER BY 1`,
  );
  if (hiddenParts.length > 0)
    say(
      'warns',
      'superuser_only_objects',
      `Only a superuser's dump holds these; this role leaves them out: ${listNames(hiddenParts)}.`,
    );

  const anonymous = await names(
    session,
    `SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND ${DUMPED} AND (c.relreplident = 'n'
       OR (c.relreplident = 'd' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate AND i.indisvalid))
       OR (c.relreplident = 'i' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid))) ORDER BY 1`,
  );
  if (anonymous.length > 0)
    say(
      'info',
      'no_replica_identity',
      `A change stream could not follow updates of tables without a replica identity: ${listNames(anonymous)}.`,
      anonymous
        .slice(0, 20)
        .map((name) => `ALTER TABLE ${name} REPLICA IDENTITY FULL;`)
        .join(' '),
    );

  const extensions = await names(
    session,
    "SELECT extname || ' ' || extversion FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql' ORDER BY 1",
  );
  if (extensions.length > 0)
    say(
      'info',
      'extensions',
      `A restore needs these extensions on its server, in its default version: ${listNames(extensions, 30)}.`,
    );

  const level = await session.value("SELECT pg_catalog.current_setting('wal_level')");
  if (level !== 'logical')
    say(
      'info',
      'wal_level_logical',
      `wal_level is ${level}; a change stream needs logical (after a restart).`,
      "ALTER SYSTEM SET wal_level = 'logical';",
    );
  return findings;
}
