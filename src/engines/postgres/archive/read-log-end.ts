import type { LogEnd } from '../../chain-engine.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { readServer } from '../server.js';
import { askReplication } from './timeline.js';

const TIME_FORMAT = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`;

/**
 * On a primary: its clock, read before the end of what it has flushed. A commit that did not wait for its flush (`synchronous_commit = off`)
 * is written within three rounds of the walwriter, so the clock is set back by as much.
 *
 * The CTE is materialised so that the clock is surely read first.
 */
const PRIMARY_END = `
  WITH at AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() - 3 * pg_catalog.current_setting('wal_writer_delay')::interval AS clock
    WHERE NOT pg_catalog.pg_is_in_recovery())
  SELECT pg_catalog.to_char(at.clock AT TIME ZONE 'UTC', ${TIME_FORMAT}) AS clock, flushed.lsn::text AS lsn,
    pg_catalog.pg_walfile_name(flushed.lsn) AS file
  FROM at CROSS JOIN LATERAL (SELECT pg_catalog.pg_current_wal_flush_lsn() AS lsn, at.clock OFFSET 0) AS flushed`;

/**
 * On a standby its own clock says nothing about what the primary has committed meanwhile. Replayed surely is what was committed up to the
 * last replayed commit; up to the primary's last message when nothing of its log is outstanding (only roles with pg_read_all_stats see
 * that); or else up to the last checkpoint.
 */
const STANDBY_END = `
  SELECT pg_catalog.pg_last_wal_replay_lsn()::text AS replayed, pg_catalog.to_char(greatest(
      pg_catalog.pg_last_xact_replay_timestamp(),
      (SELECT checkpoint_time FROM pg_catalog.pg_control_checkpoint()),
      (SELECT last_msg_send_time - 3 * pg_catalog.current_setting('wal_writer_delay')::interval FROM pg_catalog.pg_stat_wal_receiver
        WHERE latest_end_lsn IS NOT NULL AND pg_catalog.pg_last_wal_replay_lsn() >= latest_end_lsn)
    ) AT TIME ZONE 'UTC', ${TIME_FORMAT}) AS clock`;

/**
 * The source's clock and the end of its log: once the log is stored up to `position`, every transaction with an earlier commit time is.
 * Asked of a standby, `clock` is the primary's, as far as its log has come, and `applied` how far it has replayed, which is what it holds:
 * one that pauses or delays its replay receives all the same.
 */
export async function readLogEnd(connection: DatabaseConnection, context: EngineContext): Promise<LogEnd> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark archive' });
  try {
    const { server } = await readServer(session);
    const [end] = await session.rows(PRIMARY_END);
    if (end?.lsn != null && end.clock != null)
      return {
        server,
        clock: end.clock,
        position: { lsn: end.lsn, timeline: Number(`0x${(end.file ?? '').slice(0, 8)}`) },
      };
    const [standby] = await session.rows(STANDBY_END);
    // What a standby has received and not yet replayed is sent on as well: the end of what a receiver gets, and not before the clock's.
    const system = await askReplication(connection, context, 'IDENTIFY_SYSTEM');
    const timeline = Number(system.timeline);
    return {
      server,
      clock: standby?.clock ?? new Date(0).toISOString(),
      position: { lsn: system.xlogpos ?? '0/0', timeline },
      applied: { lsn: standby?.replayed ?? '0/0', timeline },
    };
  } catch (error) {
    throw mapQueryError(error, connection, `Reading the end of the log of ${connection.host} failed`, 'internal');
  } finally {
    await session.close();
  }
}
