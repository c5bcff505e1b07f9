import type { Brand } from './brand.js';
import type { Session } from './session.js';

/**
 * True when the dump tool will write something around the programs of `schema` that a client cannot load elsewhere (see DumpRewriter).
 * Asked beforehand, because looking at every byte of a large dump costs processor time that almost no database needs. Programs made
 * between this and the dump are missed here; our own load looks at every byte in any case.
 */
export async function needsMending(
  session: Session,
  brand: Brand,
  schema: string,
  collation: string,
): Promise<boolean> {
  // MariaDB prints triggers as they were typed: what stands in front of their names is not worth telling apart.
  const oddTrigger = brand.kind === 'mariadb' ? 'TRUE' : "ACTION_STATEMENT REGEXP ';[[:space:]]*$'";
  const [row] = await session.rows(
    `SELECT EXISTS (SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? AND (DATABASE_COLLATION <> ? OR ${oddTrigger})) AS triggers,
       EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? AND DATABASE_COLLATION <> ?) AS routines`,
    [schema, collation, schema, collation],
    'Listing the programs failed',
  );
  return row?.triggers === '1' || row?.routines === '1';
}
