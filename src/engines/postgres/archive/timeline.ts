import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';

/** One command of the replication protocol on a connection of its own; the first row. Needs the REPLICATION attribute and a line in pg_hba.conf. */
export async function askReplication(
  connection: DatabaseConnection,
  context: EngineContext,
  command: string,
): Promise<Record<string, string | null>> {
  const session = await connect(connection, {
    signal: context.signal,
    applicationName: 'tidemark archive',
    replication: true,
  });
  try {
    const [row] = await session.rows(command);
    return row ?? {};
  } finally {
    await session.close();
  }
}

/**
 * The timeline the server writes, or on a standby replays, at this moment. `pg_control_checkpoint()` would tell the former one until the
 * first checkpoint after a promotion; a standby tells it to replication connections only.
 */
export async function readTimeline(
  session: Session,
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<number> {
  // In one statement: between two, a standby could be promoted, and pg_walfile_name fails on a standby.
  const name = await session.value(
    'SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END',
  );
  if (name !== null) return Number(`0x${name.slice(0, 8)}`);
  return Number((await askReplication(connection, context, 'IDENTIFY_SYSTEM')).timeline);
}

/** The content of a timeline's history file, as the server keeps it. */
export async function fetchHistory(
  connection: DatabaseConnection,
  context: EngineContext,
  timeline: number,
): Promise<string> {
  return (await askReplication(connection, context, `TIMELINE_HISTORY ${timeline}`)).content ?? '';
}
