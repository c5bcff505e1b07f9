import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { dropFormerSlot, dropSlot } from './slots.js';

/** Drops the slot of the archive; the server may then forget its log. */
export async function releaseArchive(
  connection: DatabaseConnection,
  context: EngineContext,
  options: { readonly slot: string },
): Promise<void> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark archive' });
  try {
    await dropFormerSlot(session, options.slot);
    await dropSlot(session, options.slot);
  } catch (error) {
    throw mapQueryError(error, connection, `Releasing the log of ${connection.host} failed`, 'internal');
  } finally {
    await session.close();
  }
}
