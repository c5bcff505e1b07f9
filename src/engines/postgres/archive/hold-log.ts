import type { LogPosition } from '../../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { quoteText } from '../quote.js';
import { ensureHoldingSlot } from './slots.js';
import { parseLsn } from './wal-names.js';

/**
 * Makes a standby keep its log from `position` on, so that the archive can go on there should it be promoted: the slots of its primary do
 * not exist on it. Moves the slot forward to what is stored, and never past what the standby has replayed.
 */
export async function holdLog(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { readonly slot: string; readonly position: LogPosition },
): Promise<void> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark archive' });
  try {
    const held = await ensureHoldingSlot(session, options.slot);
    const replayed = await session.value('SELECT pg_catalog.pg_last_wal_replay_lsn()::text');
    const stored = parseLsn(options.position.lsn ?? '0/0');
    const to = replayed === null || parseLsn(replayed) > stored ? stored : parseLsn(replayed);
    if (to <= parseLsn(held.lsn)) return;
    const text = to === stored ? options.position.lsn : replayed;
    await session.run(
      `SELECT pg_catalog.pg_replication_slot_advance(${quoteText(options.slot)}, ${quoteText(text ?? '0/0')}::pg_lsn)`,
    );
  } catch (error) {
    throw mapQueryError(error, connection, `Holding the log of ${connection.host} failed`, 'internal');
  } finally {
    await session.close();
  }
}
