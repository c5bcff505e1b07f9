import { TidemarkError } from '../../../domain/errors.js';
import type { ServerIdentity } from '../../../domain/positions.js';
import type { DatabaseConnection } from '../../engine.js';
import type { Session } from '../connect.js';
import { readServer } from '../server.js';

/** Throws `server_identity_changed` when another cluster answers than the one whose log is stored. */
export async function recogniseServer(
  session: Session,
  connection: DatabaseConnection,
  expected: ServerIdentity | null,
): Promise<ServerIdentity> {
  const { server } = await readServer(session);
  if (expected !== null && server.identity !== expected.identity)
    throw new TidemarkError(
      'server_identity_changed',
      `${connection.host}:${connection.port} is now another PostgreSQL cluster (${server.identity}) than the one whose log is archived (${expected.identity}).`,
      { object: connection.host },
    );
  return server;
}
