import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import { readClock, readServer } from '../server.js';
import { withSession } from '../session.js';

/**
 * See ChainEngine.readLogEnd. The clock is read first: what was committed before it stands in the log up to the position, but for commits
 * whose time was taken and whose record was being written just then.
 */
export async function readLogEnd(
  brand: Brand,
  connection: DatabaseConnection,
  context: EngineContext,
): Promise<{ readonly server: ServerIdentity; readonly clock: string; readonly position: LogPosition }> {
  const options = { database: null, name: 'tidemark archive', signal: context.signal };
  return withSession(connection, options, async (session) => {
    const server = await readServer(session, brand);
    const clock = await readClock(session);
    return { server, clock, position: await brand.position(session) };
  });
}
