import type { CleanupRun } from '../../catalog/runs/cleanup-run.js';
import { findHolders, markCleanedUp, noteCleanupFailed, readCleanup } from '../../catalog/runs/cleanup-run.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { toRecordedError } from '../../domain/errors.js';
import type { ChainEngine } from '../../engines/chain-engine.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import type { DatabaseConnection } from '../../engines/engine.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import type { Address } from '../open-run.js';
import { connectionOf, engineContext } from '../open-run.js';
import type { Step } from '../run-step.js';
import { runStep } from '../run-step.js';

/** Tries once to remove what of ours is left on a user's server. */
export function cleanUpSource(deps: ActivityDeps): Activities['cleanUpSource'] {
  return ({ cleanupId }) =>
    runStep(deps, 'clean-up-source', async (step) => {
      const cleanup = await readCleanup(deps.catalog, cleanupId);
      if (cleanup === null) return { done: true };
      const failure = await release(deps, step, cleanup);
      if (failure === null) {
        await markCleanedUp(deps.catalog, cleanup);
        return { done: true };
      }
      const error = toRecordedError(failure);
      await noteCleanupFailed(deps.catalog, cleanup.id, error);
      const { name, host, port, policyId, databaseId } = cleanup;
      await noteEvent(deps.catalog, {
        event: 'cleanup_pending',
        dedupeKey: `cleanup_pending/${cleanup.id}`,
        ...(policyId === null ? {} : { policyId }),
        ...(databaseId === null ? {} : { databaseId }),
        what: `The replication slot ${name} of Tidemark is still on ${host}:${port}. While it is there the server keeps its log, up to its limit (max_slot_wal_keep_size).`,
        why: error.message,
        nextStep: `It is tried again until it is gone, every six hours in the end. By hand, as a superuser: SELECT pg_drop_replication_slot('${name}');`,
      });
      return { done: false };
    });
}

/**
 * With the credentials kept for it; when those do not work any more, with what the database is registered with today. Leaves alone a slot
 * that an archive uses there: it would lose what it has not stored yet. Null when there is nothing left to do, else why it failed.
 */
async function release(deps: ActivityDeps, step: Step, cleanup: CleanupRun): Promise<unknown> {
  const { databaseNow: now, host, port } = cleanup;
  const holders = await findHolders(deps.catalog, cleanup);
  // Attached anew since, at the same place.
  if (holders.some((one) => one.host === host && one.port === port)) return null;
  const isSame = now !== null && now.host === cleanup.host && now.port === cleanup.port;
  let failure: unknown = null;
  for (const address of [cleanup, ...(isSame ? [now] : [])] satisfies Address[]) {
    try {
      const connection = await connectionOf(deps, address);
      const engine = getChainEngine(address.engine as EngineKind);
      if (await isHeldThere(deps, step, engine, { connection, cleanup, holders })) return null;
      await engine.releaseArchive(connection, engineContext(deps, step), { slot: cleanup.name });
      return null;
    } catch (error) {
      step.signal.throwIfAborted();
      failure ??= error;
    }
  }
  return failure;
}

/** The same server may be registered under another address by now. Throws when that cannot be found out of the one that was moved. */
async function isHeldThere(
  deps: ActivityDeps,
  step: Step,
  engine: ChainEngine,
  at: {
    readonly connection: DatabaseConnection;
    readonly cleanup: CleanupRun;
    readonly holders: Awaited<ReturnType<typeof findHolders>>;
  },
): Promise<boolean> {
  if (engine.nameInstance === undefined || at.holders.length === 0) return false;
  const context = engineContext(deps, step);
  const instance = await engine.nameInstance(at.connection, context);
  for (const holder of at.holders) {
    try {
      if ((await engine.nameInstance(await connectionOf(deps, holder), context)) === instance) return true;
    } catch (error) {
      if (holder.id === at.cleanup.databaseId) throw error;
      deps.logger.info({ err: error, databaseId: holder.id }, 'a server that holds the log does not answer');
    }
  }
  return false;
}
