import { TidemarkError } from '../../../domain/errors.js';
import type { ServerIdentity } from '../../../domain/positions.js';
import type { DatabaseConnection, EngineContext } from '../../engine.js';
import type { Tools } from '../../shared/find-tools.js';
import type { Session } from '../connect.js';
import { connect } from '../connect.js';
import { mapQueryError } from '../map-error.js';
import { listNames } from '../quote.js';
import { readServer } from '../server.js';
import { findBackupTool } from './programs.js';
import type { ClusterFacts } from './read-cluster.js';
import { readCluster } from './read-cluster.js';

/** `application_name` of all connections of a physical backup. */
export const BACKUP_APPLICATION = 'tidemark backup';

/** The source's clock; a standby's may lag behind the commits it has replayed. */
export const CLOCK = `SELECT pg_catalog.to_char(GREATEST(pg_catalog.clock_timestamp(), pg_catalog.pg_last_xact_replay_timestamp())
  AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

export type OpenedSource = {
  readonly session: Session;
  readonly server: ServerIdentity;
  readonly isReplica: boolean;
  readonly facts: ClusterFacts;
  readonly tools: Tools;
};

/** A server as messages name it. */
export const placeOf = (connection: DatabaseConnection) => `the server ${connection.host}:${connection.port}`;

/** The ordinary session beside a physical backup, and what is known of the server. The caller closes the session. */
export async function openSource(connection: DatabaseConnection, context: EngineContext): Promise<OpenedSource> {
  const session = await connect(connection, { signal: context.signal, applicationName: BACKUP_APPLICATION });
  try {
    const { server, isReplica } = await readServer(session);
    const tools = await findBackupTool(server.major, context.toolRoots);
    const facts = await readCluster(session);
    // Older servers send each archive in a copy of its own, which nobody has tried.
    if (facts.tablespaces.length > 0 && Number(server.major) < 15)
      throw new TidemarkError(
        'not_supported',
        `A server of PostgreSQL ${server.major} with tablespaces (${listNames(facts.tablespaces.map(({ name }) => name))}) has no full backups here; that takes PostgreSQL 15. A plan with dumps protects its databases.`,
        { object: `${connection.host}:${connection.port}` },
      );
    return { session, server, isReplica, facts, tools };
  } catch (error) {
    await session.close();
    throw mapQueryError(error, connection, `Reading what ${placeOf(connection)} holds failed`, 'dump_failed');
  }
}
