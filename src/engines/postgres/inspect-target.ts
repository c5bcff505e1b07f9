import { isTidemarkError } from '../../domain/errors.js';
import type { TargetInspection } from '../engine.js';
import { connect } from './connect.js';
import { quoteName, quoteText } from './quote.js';
import { USER_SCHEMAS } from './read-fingerprint.js';
import type { RestoreScope } from './restore-scope.js';

const NOT_OF_EXTENSION = (catalog: string, oid: string) =>
  `NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.${catalog}'::regclass AND x.objid = ${oid} AND x.deptype = 'e')`;

/** Relations, routines, types of their own, schemas, extensions, large objects: what makes a database not empty. */
const USER_OBJECTS = `
  SELECT n.nspname || '.' || c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE ${USER_SCHEMAS} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND ${NOT_OF_EXTENSION('pg_class', 'c.oid')}
  UNION ALL SELECT n.nspname || '.' || p.proname || '()' FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE ${USER_SCHEMAS} AND ${NOT_OF_EXTENSION('pg_proc', 'p.oid')}
  UNION ALL SELECT n.nspname || '.' || t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE ${USER_SCHEMAS} AND t.typtype IN ('d', 'e', 'r') AND ${NOT_OF_EXTENSION('pg_type', 't.oid')}
  UNION ALL SELECT 'schema ' || n.nspname FROM pg_catalog.pg_namespace n
    WHERE ${USER_SCHEMAS} AND n.nspname <> 'public' AND ${NOT_OF_EXTENSION('pg_namespace', 'n.oid')}
  UNION ALL SELECT 'extension ' || extname FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'
  UNION ALL SELECT 'publication ' || pubname FROM pg_catalog.pg_publication
  UNION ALL SELECT 'event trigger ' || evtname FROM pg_catalog.pg_event_trigger
  UNION ALL SELECT 'large object ' || oid FROM pg_catalog.pg_largeobject_metadata`;

async function readContent(scope: RestoreScope, target: string, allowsConnections: boolean): Promise<string[]> {
  // A closed database cannot be looked into; it is never taken for empty.
  if (!allowsConnections) return [`database ${quoteName(target)} (closed to connections)`];
  const { connection, context, applicationName, settings } = scope;
  const inside = await connect(connection, { signal: context.signal, applicationName, database: target, settings });
  try {
    const rows = await inside.rows(`SELECT name FROM (${USER_OBJECTS}) o ORDER BY name LIMIT 20`);
    return rows.map((row) => row.name ?? '');
  } finally {
    await inside.close();
  }
}

/** What hangs on the database by its OID and would stay with the old one after a swap, or forbid the rename. */
async function findOutsideTies(scope: RestoreScope, target: string): Promise<string[]> {
  const name = quoteText(target);
  const rows = await scope.maintenance.rows(`
    SELECT 'replication slot ' || slot_name AS tie FROM pg_catalog.pg_replication_slots WHERE database = ${name}
    UNION ALL SELECT 'subscription ' || s.subname FROM pg_catalog.pg_subscription s
      JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = ${name}
    UNION ALL SELECT 'prepared transaction ' || gid FROM pg_catalog.pg_prepared_xacts WHERE database = ${name} ORDER BY 1`);
  return rows.map((row) => row.tie ?? '');
}

export async function inspectTarget(scope: RestoreScope, target: string): Promise<TargetInspection> {
  const [rights] = await scope.maintenance.rows(
    'SELECT rolsuper OR rolcreatedb AS can_create FROM pg_catalog.pg_roles WHERE rolname = current_user',
  );
  const canCreateDatabase = rights?.can_create === 't';
  const [database] = await scope.maintenance.rows(
    `SELECT datallowconn, CASE WHEN pg_catalog.has_database_privilege(oid, 'CONNECT') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
       THEN pg_catalog.pg_database_size(oid)::text ELSE '0' END AS bytes FROM pg_catalog.pg_database WHERE datname = ${quoteText(target)}`,
  );
  const common = { canCreateDatabase, freeBytes: null };
  if (database === undefined)
    return { ...common, exists: false, empty: true, objects: [], sizeBytes: 0, outsideTies: [] };
  const objects = await readContent(scope, target, database.datallowconn === 't').catch((error: unknown) => {
    if (isTidemarkError(error) && error.code === 'privilege_missing')
      return [`database ${quoteName(target)} (no right to look inside)`];
    throw error;
  });
  return {
    ...common,
    exists: true,
    empty: objects.length === 0,
    objects,
    sizeBytes: Number(database.bytes ?? 0),
    outsideTies: await findOutsideTies(scope, target),
  };
}
