import { provenVersions } from '../../domain/engine-kinds.js';
import { TidemarkError } from '../../domain/errors.js';
import type { ServerIdentity } from '../../domain/positions.js';
import type { Session } from './connect.js';

/** The oldest server that is served: older ones lack `pg_read_all_data`. */
export const OLDEST_MAJOR = 14;

/** Who answers: the system identifier is made by initdb and survives copies, so replicas share it. */
export async function readServer(session: Session): Promise<{ server: ServerIdentity; isReplica: boolean }> {
  const [row] = await session.rows(`
    SELECT system_identifier::text AS id, pg_catalog.current_setting('server_version') AS version,
      pg_catalog.current_setting('server_version_num') AS number, pg_catalog.pg_is_in_recovery() AS replica
    FROM pg_catalog.pg_control_system()`);
  const major = String(Math.floor(Number(row?.number ?? 0) / 10_000));
  if (Number(major) < OLDEST_MAJOR)
    throw new TidemarkError('server_version_unsupported', `PostgreSQL ${row?.version} is older than ${OLDEST_MAJOR}.`);
  const version = (row?.version ?? '').split(' ')[0] ?? '';
  return {
    server: { engine: 'postgresql', identity: `pg:${row?.id}`, version, major },
    isReplica: row?.replica === 't',
  };
}

export function isProven(major: string): boolean {
  return provenVersions.postgresql.includes(major);
}
