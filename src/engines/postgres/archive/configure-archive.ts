import type { ArchiveSetup } from '../../chain-engine.js';
import type { CheckFinding, DatabaseConnection, EngineContext } from '../../engine.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { SLOT_LIMIT_UNSET } from '../slot-limit.js';
import { ensureHoldingSlot } from './slots.js';
import { readTimeline } from './timeline.js';

/**
 * Makes the source keep its log from now on, by a physical replication slot that nobody streams from. Works on a primary and on a standby
 * and needs no more than the REPLICATION attribute. A slot that the server has invalidated is replaced; that is a finding, because what
 * was written in between may be missing.
 */
export async function configureArchive(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { readonly slot: string },
): Promise<ArchiveSetup> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark archive' });
  try {
    const held = await ensureHoldingSlot(session, options.slot);
    const timeline = await readTimeline(session, connection, context);
    const findings = await findSettings(session);
    if (held.found === 'lost')
      findings.unshift({
        severity: 'info',
        code: 'slot_recreated',
        message: `The server had dropped the log that the replication slot ${options.slot} was holding; the slot was made anew and holds from ${held.lsn} on.`,
        statement: null,
      });
    return { position: { lsn: held.lsn, timeline }, findings };
  } catch (error) {
    throw mapQueryError(error, connection, `Setting up the log archive of ${connection.host} failed`, 'internal');
  } finally {
    await session.close();
  }
}

/** Settings of the server with which keeping its log endangers the server itself. */
async function findSettings(session: Session): Promise<CheckFinding[]> {
  const limit = await session.value("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'");
  return limit === '-1' ? [SLOT_LIMIT_UNSET] : [];
}
