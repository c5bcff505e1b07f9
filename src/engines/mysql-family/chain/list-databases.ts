import type { Session } from '../session.js';

/** Databases of the server's own; all others are in a full. */
const SYSTEM = ['mysql', 'sys', 'performance_schema', 'information_schema', 'ndbinfo'];

/** Every database that a full holds, by name; kept former contents and stagings of restores among them, because the log names them too. */
export async function listDatabases(session: Session): Promise<string[]> {
  const rows = await session.rows(
    'SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA',
    [],
    'Listing the databases failed',
  );
  return rows
    .map((row) => row.name ?? '')
    .filter((name) => !SYSTEM.includes(name.toLowerCase()))
    .sort();
}
