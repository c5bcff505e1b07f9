import type { CleanupRun } from '../../catalog/runs/cleanup-run.js';
import { isWantedAgain, markCleanedUp, noteCleanupFailed, readCleanup } from '../../catalog/runs/cleanup-run.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { toRecordedError } from '../../domain/errors.js';
import { getChainEngine } from '../../engines/chain-registry.js';
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
      // Attached anew since: the archive uses the slot, and would lose what it has not stored yet.
      const failure = (await isWantedAgain(deps.catalog, cleanup)) ? null : await release(deps, step, cleanup);
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

/** With the credentials kept for it; when those do not work any more, with what the database is registered with today. */
async function release(deps: ActivityDeps, step: Step, cleanup: CleanupRun): Promise<unknown> {
  const { databaseNow: now } = cleanup;
  const isSame = now !== null && now.host === cleanup.host && now.port === cleanup.port;
  let failure: unknown = null;
  for (const address of [cleanup, ...(isSame ? [now] : [])] satisfies Address[]) {
    try {
      const connection = await connectionOf(deps, address);
      const engine = getChainEngine(address.engine as EngineKind);
      await engine.releaseArchive(connection, engineContext(deps, step), { slot: cleanup.name });
      return null;
    } catch (error) {
      step.signal.throwIfAborted();
      failure ??= error;
    }
  }
  return failure;
}
