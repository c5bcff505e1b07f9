import type { DatabaseConnection, EngineContext } from '../../engine.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';

/**
 * See ChainEngine.nameInstance. A copy of a cluster has its system identifier as well, but was not started in the same microsecond by another
 * process of the same data.
 */
export async function nameInstance(connection: DatabaseConnection, context: EngineContext): Promise<string> {
  const session = await connect(connection, { signal: context.signal, applicationName: 'tidemark archive' });
  try {
    const name = await session.value(`
      SELECT pg_catalog.concat_ws('/', system_identifier, extract(epoch FROM pg_catalog.pg_postmaster_start_time()))
      FROM pg_catalog.pg_control_system()`);
    return name ?? '';
  } catch (error) {
    throw mapQueryError(error, connection, `Asking ${connection.host} who it is failed`, 'internal');
  } finally {
    await session.close();
  }
}
