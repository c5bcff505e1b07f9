import type { ArchiveRun } from '../../catalog/runs/archive-run.js';
import { findLastSlice } from '../../catalog/runs/slices.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { TidemarkError } from '../../domain/errors.js';
import type { LogPosition } from '../../domain/positions.js';
import { isSameServer } from '../../domain/same-server.js';
import type { ChainEngine } from '../../engines/chain-engine.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import type { DatabaseConnection } from '../../engines/engine.js';
import { getEngine } from '../../engines/registry.js';
import type { ActivityDeps } from '../deps.js';
import type { DatabaseRow } from '../open-run.js';
import { connectionOf, engineContext } from '../open-run.js';
import type { Step } from '../run-step.js';

export type ArchiveSource = {
  readonly database: DatabaseRow;
  readonly connection: DatabaseConnection;
  readonly engine: ChainEngine;
  /** Another one than the last time, because that does not answer and this one was promoted. */
  readonly promoted: boolean;
};

/** Registered replicas of the attached databases: one of them may have taken their place. */
export function replicasOf(chain: ArchiveRun): DatabaseRow[] {
  return chain.attachments.flatMap(({ database }) => database.replicas);
}

/**
 * The database through which a server's log is followed: the one of the last time, or an attached one; when none of them answers, a
 * registered replica that says it is a primary of the same identity. Throws the first one's error when there is nobody.
 */
export async function chooseSource(deps: ActivityDeps, step: Step, chain: ArchiveRun): Promise<ArchiveSource> {
  const engine = getChainEngine(chain.server.engine as EngineKind);
  const attached = chain.attachments.map(({ database }) => database);
  const replicas = replicasOf(chain);
  const last = [...attached, ...replicas].find((database) => database.id === chain.sourceDatabaseId);
  const usual = last === undefined || attached.some(({ id }) => id === last.id) ? attached : [last, ...attached];
  let failure: unknown = new TidemarkError('not_found', `No database of ${chain.server.identity} is attached.`, {
    object: chain.id,
  });
  let failed = false;
  let left: ArchiveSource | null = null;
  const stored = await findStoredEnd(deps, chain);
  for (const database of usual) {
    try {
      const connection = await connectionOf(deps, database);
      const { server, position } = await engine.readLogEnd(connection, engineContext(deps, step));
      if (!isSameServer(server.identity, chain.server.identity)) throw otherServer(chain, database, server.identity);
      const source = { database, connection, engine, promoted: false };
      if (!isOfLeftTimeline(position, stored)) return source;
      left ??= source;
    } catch (error) {
      step.signal.throwIfAborted();
      if (!failed) failure = error;
      failed = true;
    }
  }
  for (const database of replicas) {
    const connection = await findPromoted(deps, step, chain, database);
    if (connection === null) continue;
    if (chain.archiveWanted) {
      await engine.configureArchive(connection, engineContext(deps, step), { slot: chain.slotName });
    }
    return { database, connection, engine, promoted: database.id !== chain.sourceDatabaseId };
  }
  // A former primary that came back while its successor does not answer: what it writes is no part of the stored log. When everybody has
  // answered there is no successor any more, and going on is a gap that is noted.
  if (left !== null && !failed) return left;
  throw failure;
}

/** Where the stored log of the present epoch ends, or null. */
async function findStoredEnd(deps: ActivityDeps, chain: ArchiveRun): Promise<LogPosition | null> {
  const last = await findLastSlice(deps.catalog.prisma, chain.id, chain.archiveEpoch);
  return (last?.endPosition ?? null) as LogPosition | null;
}

/** Whether a server writes a timeline that the stored log has left. Only PostgreSQL has timelines. */
export function isOfLeftTimeline(end: LogPosition, stored: LogPosition | null): boolean {
  return end.timeline !== undefined && stored?.timeline !== undefined && end.timeline < stored.timeline;
}

/** The connection to a replica that has become the primary, or null. */
async function findPromoted(
  deps: ActivityDeps,
  step: Step,
  chain: ArchiveRun,
  database: DatabaseRow,
): Promise<DatabaseConnection | null> {
  try {
    const connection = await connectionOf(deps, database);
    const { role, server } = await getEngine(connection.engine).check(connection, engineContext(deps, step));
    return role === 'primary' && server.identity === chain.server.identity ? connection : null;
  } catch (error) {
    step.signal.throwIfAborted();
    deps.logger.info(
      { err: error, databaseId: database.id },
      'a replica that could be the new primary does not answer',
    );
    return null;
  }
}

function otherServer(chain: ArchiveRun, database: DatabaseRow, found: string): TidemarkError {
  return new TidemarkError(
    'server_identity_changed',
    `At ${database.host}:${database.port} answers ${found}; the log that is archived is of ${chain.server.identity}. Check the database to accept the new server.`,
    { object: database.id },
  );
}
