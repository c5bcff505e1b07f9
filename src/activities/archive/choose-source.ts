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
  /** It is another server than the chain's, which has proven to have taken its place: its log begins a new epoch. */
  readonly successor: boolean;
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
      const successor = !isSameServer(server.identity, chain.server.identity);
      if (successor && !(await tookPlace(deps, step, chain, { database, connection, found: server.identity, stored })))
        throw otherServer(chain, database, server.identity);
      const source = { database, connection, engine, promoted: false, successor };
      const lacks = stored !== null && engine.lacksStored?.(position, stored) === true;
      if (!lacks && !isOfLeftTimeline(position, stored)) return source;
      left ??= source;
    } catch (error) {
      step.signal.throwIfAborted();
      if (!failed) failure = error;
      failed = true;
    }
  }
  for (const database of replicas) {
    const promoted = await findPromoted(deps, step, chain, { database, stored });
    if (promoted === null) continue;
    const { connection, successor } = promoted;
    if (chain.archiveWanted) {
      await engine.configureArchive(connection, engineContext(deps, step), { slot: chain.slotName });
    }
    return { database, connection, engine, promoted: database.id !== chain.sourceDatabaseId, successor };
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

/**
 * Whether the server at an address whose log was followed is another one that took over: an address that moved to the successor. One that
 * lacks something of the stored log must have been seen by a check of the database, by which a person accepts it.
 */
async function tookPlace(
  deps: ActivityDeps,
  step: Step,
  chain: ArchiveRun,
  at: {
    readonly database: DatabaseRow;
    readonly connection: DatabaseConnection;
    readonly found: string;
    readonly stored: LogPosition | null;
  },
): Promise<boolean> {
  const engine = getChainEngine(at.connection.engine);
  const options = { former: chain.server.identity, stored: at.stored };
  const judged = await engine.judgeSuccessor?.(at.connection, engineContext(deps, step), options);
  if (judged?.isSuccessor !== true) return false;
  const seen = at.database.server?.identity;
  return judged.lacks === null || (seen !== undefined && isSameServer(seen, at.found));
}

/** The connection to a replica that has become the primary, or null. */
async function findPromoted(
  deps: ActivityDeps,
  step: Step,
  chain: ArchiveRun,
  { database, stored }: { readonly database: DatabaseRow; readonly stored: LogPosition | null },
): Promise<{ readonly connection: DatabaseConnection; readonly successor: boolean } | null> {
  try {
    const connection = await connectionOf(deps, database);
    const { role, server } = await getEngine(connection.engine).check(connection, engineContext(deps, step));
    if (role !== 'primary') return null;
    if (isSameServer(server.identity, chain.server.identity)) return { connection, successor: false };
    // Registered as a replica of this very server, it may lack what was lost with its primary.
    const options = { former: chain.server.identity, stored };
    const judged = await getChainEngine(connection.engine).judgeSuccessor?.(
      connection,
      engineContext(deps, step),
      options,
    );
    return judged?.isSuccessor === true ? { connection, successor: true } : null;
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
