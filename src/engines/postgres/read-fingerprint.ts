import { TidemarkError } from '../../domain/errors.js';
import type { Fingerprint } from '../../domain/fingerprint.js';
import type { DatabaseConnection, EngineContext } from '../engine.js';
import type { Session } from './connect.js';
import { readDatabaseProperties, readOuterProperties } from './database-properties.js';
import { mapQueryError } from './map-error.js';
import { quoteName } from './quote.js';
import type { Snapshot } from './snapshot.js';
import { joinSnapshot, readDefinitions } from './snapshot.js';

/** Sessions that read tables at the same time; the source comes first, and the dump reads too. */
const READERS = 2;

/** Schemas that no dump holds. */
export const USER_SCHEMAS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'";

type TableToRead = { schema: string; name: string; persistence: string; columns: string[]; condition: string };
type SequenceValue = Fingerprint['sequences'][number];

/**
 * Tables whose rows a dump holds: ordinary ones, partitions (not their parents, which hold nothing) and what extensions declare as theirs
 * to configure. Columns in the order of their names: a child's inherited columns may stand elsewhere after a restore.
 * Virtual columns are left out, they are computed when read. Materialized views are left out, a restore computes them anew.
 */
async function listTables(session: Session): Promise<TableToRead[]> {
  const rows = await session.rows(`
    SELECT n.nspname AS schema, c.relname AS name, c.relpersistence AS persistence,
      coalesce((SELECT json_agg(a.attname ORDER BY a.attname COLLATE "C") FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'), '[]') AS columns,
      coalesce(e.condition, '') AS condition
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN (SELECT unnest(extconfig) AS oid, unnest(extcondition) AS condition FROM pg_catalog.pg_extension) e ON e.oid = c.oid
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND ${USER_SCHEMAS}
      AND (e.oid IS NOT NULL OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
    ORDER BY pg_catalog.pg_table_size(c.oid) DESC, c.oid`);
  return rows.map((row) => ({
    schema: row.schema ?? '',
    name: row.name ?? '',
    persistence: row.persistence ?? 'p',
    columns: JSON.parse(row.columns ?? '[]') as string[],
    condition: row.condition ?? '',
  }));
}

/** A name as SQL writes it: quoted where it must be. */
export function displayName(schema: string, name: string): string {
  return [schema, name].map((part) => (/^[a-z_][a-z0-9_$]*$/.test(part) ? part : quoteName(part))).join('.');
}

/** Row count and the sum of a 64-bit hash of each row's text: no order, no key, no memory; a sum (not XOR) because pairs of equal rows must not cancel. */
async function readTable(session: Session, table: TableToRead): Promise<Fingerprint['tables'][number]> {
  const row = table.columns.map((column) => `tm_row.${quoteName(column)}`).join(', ');
  const [result] = await session.rows(`
    SELECT pg_catalog.count(*)::text AS rows, coalesce(pg_catalog.sum(pg_catalog.hashtextextended(ROW(${row})::text, 0)), 0)::text AS checksum
    FROM ONLY ${quoteName(table.schema)}.${quoteName(table.name)} AS tm_row ${table.condition}`);
  return { name: displayName(table.schema, table.name), rows: result?.rows ?? '0', checksum: result?.checksum ?? '0' };
}

/** Present value of every sequence that a dump holds. Sequences are outside every snapshot: see `settleSequences` in open-dump.ts. */
export async function readSequences(session: Session): Promise<SequenceValue[]> {
  const names = await session.rows(`
    SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ${USER_SCHEMAS}
      AND (c.oid = ANY (SELECT unnest(extconfig) FROM pg_catalog.pg_extension) OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))
    ORDER BY 1, 2`);
  const values: SequenceValue[] = [];
  // One statement for many: a round trip each would take minutes with ten thousand sequences far away.
  for (let from = 0; from < names.length; from += 200) {
    const batch = names.slice(from, from + 200);
    const statements = batch.map(
      ({ schema, name }, index) =>
        `SELECT ${index} AS i, last_value::text, is_called FROM ${quoteName(schema ?? '')}.${quoteName(name ?? '')}`,
    );
    const rows = await session.rows(`${statements.join(' UNION ALL ')} ORDER BY i`);
    for (const [index, row] of rows.entries()) {
      const { schema, name } = batch[index] ?? {};
      values.push({
        name: displayName(schema ?? '', name ?? ''),
        lastValue: row.last_value ?? null,
        isCalled: row.is_called === 't',
      });
    }
  }
  return values;
}

/** Count and one checksum over id, owner, grants, comment and bytes of all large objects, read 1 MiB at a time. */
async function readLargeObjects(session: Session): Promise<Fingerprint['largeObjects']> {
  const [row] = await session.rows(`
    SELECT pg_catalog.count(*)::text AS count, coalesce(pg_catalog.sum(pg_catalog.hashtextextended(
      m.oid::text || '|' || pg_catalog.pg_get_userbyid(m.lomowner) || '|' || coalesce(pg_catalog.obj_description(m.oid, 'pg_largeobject'), '') || '|' ||
      coalesce((SELECT pg_catalog.string_agg(
          CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END || '=' || a.privilege_type || a.is_grantable::text,
          ',' ORDER BY a.grantee <> 0, pg_catalog.pg_get_userbyid(a.grantee), a.privilege_type)
        FROM pg_catalog.aclexplode(coalesce(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) a), '') || '|' || content.hashes, 0)), 0)::text AS checksum
    FROM pg_catalog.pg_largeobject_metadata m CROSS JOIN LATERAL (
      WITH RECURSIVE piece(n, length, hash) AS (
        SELECT 0::int8, pg_catalog.length(p.data), pg_catalog.hashtextextended(pg_catalog.encode(p.data, 'hex'), 0)
          FROM (SELECT pg_catalog.lo_get(m.oid, 0, 1048576) AS data OFFSET 0) p
        UNION ALL
        SELECT piece.n + 1, pg_catalog.length(p.data), pg_catalog.hashtextextended(pg_catalog.encode(p.data, 'hex'), 0)
          FROM piece, LATERAL (SELECT pg_catalog.lo_get(m.oid, (piece.n + 1) * 1048576, 1048576) AS data OFFSET 0) p
          WHERE piece.length = 1048576
      ) SELECT pg_catalog.string_agg(length || ':' || hash, ',' ORDER BY n) AS hashes FROM piece
    ) content`);
  return { count: row?.count ?? '0', checksum: row?.checksum ?? '0' };
}

/** Which materialized views hold rows. Their rows are not compared: a restore computes them anew from the restored tables, and a stale view would differ. */
async function readPopulated(session: Session): Promise<Fingerprint['objects']> {
  const rows = await session.rows(`
    SELECT n.nspname AS schema, c.relname AS name, c.relispopulated AS populated FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'm' AND ${USER_SCHEMAS} AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2`);
  return rows.map((row) => ({
    type: 'MATERIALIZED VIEW STATE',
    name: displayName(row.schema ?? '', row.name ?? ''),
    definition: row.populated === 't' ? 'populated' : 'not populated',
    owner: null,
    grants: [],
  }));
}

/**
 * Reads what the database holds at the snapshot. `onTable` counts tables done. When it settles, its sessions and its pg_dump are gone.
 * Throws `source_changed_during_dump` when a table is being altered, and what the server's errors mean.
 */
export async function readFingerprint(options: {
  readonly snapshot: Snapshot;
  readonly connection: DatabaseConnection;
  readonly context: EngineContext;
  readonly onTable?: ((done: number, total: number) => void) | undefined;
}): Promise<Fingerprint> {
  const { snapshot, connection, context, onTable } = options;
  const sessions: Session[] = [];
  const stop = new AbortController();
  const inner: EngineContext = { ...context, signal: AbortSignal.any([context.signal, stop.signal]) };
  const definitions = readDefinitions(snapshot, connection, inner);
  // Awaited below; a failure before that must not count as unhandled.
  const definitionsEnded = definitions.catch(() => {});
  try {
    for (let i = 0; i < READERS; i++) sessions.push(await joinSnapshot(snapshot, inner));
    const [first] = sessions;
    if (first === undefined) throw new Error('no reader');
    const tables = await listTables(first);
    const results: Fingerprint['tables'] = [];
    let next = 0;
    const readNext = async (session: Session) => {
      for (let table = tables[next++]; table !== undefined; table = tables[next++]) {
        // A replica cannot read an unlogged table, and its dump holds none of the rows.
        const unreadable = snapshot.isReplica && table.persistence === 'u';
        results.push(
          unreadable
            ? { name: displayName(table.schema, table.name), rows: '0', checksum: '0' }
            : await readTable(session, table),
        );
        onTable?.(results.length, tables.length);
      }
    };
    await Promise.all(sessions.map(readNext));
    const database = await readDatabaseProperties(first, snapshot.database);
    const outer = await readOuterProperties(first, snapshot.database);
    const sequences = await readSequences(first);
    const largeObjects = await readLargeObjects(first);
    const populated = await readPopulated(first);
    const objects = [...(await definitions), ...populated];
    return {
      version: 1,
      engine: 'postgresql',
      database,
      outer: outer === null ? null : JSON.stringify(outer),
      tables: results.sort((a, b) => (a.name < b.name ? -1 : 1)),
      objects,
      sequences,
      autoIncrement: [],
      largeObjects,
    };
  } catch (error) {
    stop.abort();
    const mapped = mapQueryError(
      error,
      connection,
      `Reading the fingerprint of ${snapshot.database} failed`,
      'dump_failed',
    );
    if (mapped.code !== 'source_busy') throw mapped;
    throw new TidemarkError('source_changed_during_dump', mapped.message, mapped.details, { cause: error });
  } finally {
    // A pg_dump that outlives its caller still holds locks on the source.
    await Promise.all([definitionsEnded, ...sessions.map((session) => session.close())]);
  }
}
