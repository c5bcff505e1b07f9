import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition, ServerIdentity } from '../../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Brand } from '../brand.js';
import { readClock, readServer } from '../server.js';
import type { Session } from '../session.js';
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
    await requireOwnLog(session, brand);
    const clock = await readClock(session);
    return { server, clock, position: await brand.position(session) };
  });
}

/** What a demoted primary applies from its successor is in its log only when it says so: else its log stands still while its data changes. */
async function requireOwnLog(session: Session, brand: Brand): Promise<void> {
  if ((await brand.isReplica(session)) !== true) return;
  const variable = brand.kind === 'mysql' ? 'log_replica_updates' : 'log_slave_updates';
  if ((await session.value(`SELECT @@global.${variable}`)) === '1') return;
  const { host, port } = session.connection;
  throw new TidemarkError(
    'log_not_kept',
    `${host}:${port} is a replica now, and writes nothing of what it applies into its own log (${variable} is off). Register the new primary in its place, or start this one with ${variable}.`,
    { object: host },
  );
}
