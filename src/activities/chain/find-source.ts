import { setTimeout as sleep } from 'node:timers/promises';
import type { ArchiveRun } from '../../catalog/runs/archive-run.js';
import type { DatabaseConnection } from '../../engines/engine.js';
import type { ArchiveSource } from '../archive/choose-source.js';
import { chooseSource, replicasOf } from '../archive/choose-source.js';
import type { ActivityDeps } from '../deps.js';
import type { DatabaseRow } from '../open-run.js';
import { connectionOf, engineContext } from '../open-run.js';
import type { Step } from '../run-step.js';

/** A replica that is behind the primary by more than it catches up in this time is not read from. */
const LAG_LIMIT_MS = 10_000;

export type BackupSource = Pick<ArchiveSource, 'database' | 'connection' | 'engine' | 'successor'> & {
  /** Of a replica that is a server of its own (MySQL, MariaDB): the primary for which it is read. */
  readonly primary?: DatabaseConnection;
};

/**
 * Where a full or incremental is read: from a registered replica that is proven to follow this very server and is not behind, so that the
 * primary is spared; else from the primary, which always comes second. Throws the primary's error when it does not answer: without it
 * nothing proves a replica.
 */
export async function findSources(
  deps: ActivityDeps,
  step: Step,
  chain: ArchiveRun,
  options: { readonly replicas: boolean },
): Promise<BackupSource[]> {
  const primary = await chooseSource(deps, step, chain);
  if (!options.replicas || primary.promoted) return [primary];
  for (const database of replicasOf(chain)) {
    if (database.id === primary.database.id) continue;
    const replica = await prove(deps, step, chain, primary, database);
    if (replica !== null) return [replica, primary];
  }
  return [primary];
}

/** The replica as a source, or null with the reason in the log: that it is not used is no failure. */
async function prove(
  deps: ActivityDeps,
  step: Step,
  chain: ArchiveRun,
  primary: BackupSource,
  database: DatabaseRow,
): Promise<BackupSource | null> {
  const refuse = (reason: string, err?: unknown) => {
    deps.logger.info({ databaseId: database.id, chainId: chain.id, reason, err }, 'a replica is not read from');
    return null;
  };
  const { engine, successor } = primary;
  const context = engineContext(deps, step);
  try {
    const connection = await connectionOf(deps, database);
    const readiness = await engine.inspectServer(connection, context, { pitr: false, incremental: false });
    if (readiness.role !== 'replica') return refuse('it is not in recovery');
    if (!readiness.full) return refuse(readiness.reason ?? 'it does not allow a full');
    if (engine.findReplicaFault !== undefined) {
      const options = { primary: primary.connection, withinMs: LAG_LIMIT_MS };
      const fault = await engine.findReplicaFault(connection, context, options);
      return fault === null ? { database, connection, engine, successor, primary: primary.connection } : refuse(fault);
    }
    if (readiness.server.identity !== chain.server.identity) return refuse('it is of another identity');
    const { position } = await engine.readLogEnd(primary.connection, context);
    const reached = await waitUntil(LAG_LIMIT_MS, step.signal, async () => {
      const end = await engine.readLogEnd(connection, context);
      return engine.comparePositions(end.applied ?? end.position, position) >= 0;
    });
    return reached ? { database, connection, engine, successor } : refuse('it is too far behind');
  } catch (error) {
    step.signal.throwIfAborted();
    return refuse('it does not answer as it should', error);
  }
}

async function waitUntil(ms: number, signal: AbortSignal, probe: () => Promise<boolean>): Promise<boolean> {
  const end = Date.now() + ms;
  for (;;) {
    if (await probe()) return true;
    if (Date.now() > end) return false;
    await sleep(500, undefined, { signal });
  }
}
