import { mkdir } from 'node:fs/promises';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { LogFollower, LogFollowerOptions } from '../../log-follower.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { recogniseServer } from './recognise-server.js';
import { dropFormerSlot, ensureHoldingSlot } from './slots.js';
import { Spool } from './spool.js';
import { askReplication, readTimeline } from './timeline.js';
import { WalFollower } from './wal-follower.js';
import { parseLsn } from './wal-names.js';
import { WalReader } from './wal-reader.js';

/**
 * Follows a server's WAL over the replication protocol, beside the holding slot that only `acknowledge` moves. Goes on by itself after
 * restarts of the source and cut connections. What the spool still holds is used; without it everything from the store's end on
 * is sent again by the source. One follower serves all databases of the server.
 *
 * A chunk ends where the source's last flush ended, which may be inside a record. A timeline that was left in the middle of a segment ends
 * its file there; when all of it was handed out before the switch was known, no chunk of it carries `endsFile`.
 *
 * Throws `server_identity_changed` for another cluster, `log_gap` when the source has not got what comes after the store's end, or has
 * something else before it.
 */
export async function openFollower(
  connection: DatabaseConnection,
  context: EngineContext,
  options: LogFollowerOptions,
): Promise<LogFollower> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark archive' });
  try {
    const server = await recogniseServer(session, connection, options.resume?.server ?? null);
    const segmentBytes = Number(
      await session.value("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'"),
    );
    await mkdir(options.spoolDir, { recursive: true, mode: 0o700 });
    const spool = new Spool(options.spoolDir, segmentBytes);
    const held = await ensureHoldingSlot(session, options.slot);
    await dropFormerSlot(session, options.slot);
    let start: ConstructorParameters<typeof WalReader>[1];
    if (options.resume) start = options.resume;
    else {
      // What lies there is of an epoch that has ended.
      await spool.clear();
      start = { lsn: parseLsn(held.lsn), timeline: await slotTimeline(session, connection, context, options.slot) };
    }
    const reader = new WalReader(spool, start);
    await spool.prepare(reader.segment);
    const follower = new WalFollower({ connection, context, spool, reader, server, options });
    follower.start();
    return follower;
  } catch (error) {
    throw mapQueryError(error, connection, `Following the log of ${connection.host} failed`, 'internal');
  } finally {
    await session.close();
  }
}

/** The timeline of the log that the slot holds: an earlier one than the server's when it was promoted since. */
async function slotTimeline(
  session: Session,
  connection: DatabaseConnection,
  context: EngineContext,
  slot: string,
): Promise<number> {
  const number = Number(await session.value('SHOW server_version_num'));
  // READ_REPLICATION_SLOT came with 15.
  if (number < 150_000) return readTimeline(session, connection, context);
  const row = await askReplication(connection, context, `READ_REPLICATION_SLOT ${slot}`);
  return row.restart_tli == null ? readTimeline(session, connection, context) : Number(row.restart_tli);
}
