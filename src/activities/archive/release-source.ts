import type { ArchiveRun } from '../../catalog/runs/archive-run.js';
import {
  insertCleanup,
  noteArchiveStopped,
  raiseArchiveToken,
  readArchiveSources,
} from '../../catalog/runs/archive-run.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { TidemarkError, toRecordedError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import { sealText, secretContext } from '../../keys/seal.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import type { DatabaseRow } from '../open-run.js';
import { connectionOf, engineContext } from '../open-run.js';
import type { Step } from '../run-step.js';
import { runStep } from '../run-step.js';

/**
 * Takes back what makes the source keep its log, on every server that may hold something of ours. What cannot be reached now becomes a
 * clean-up of its own, with a copy of the credentials: it is retried until it is gone, also after its database's row was deleted.
 */
export function releaseSource(deps: ActivityDeps): Activities['releaseSource'] {
  return ({ chainId }) =>
    runStep(deps, 'release-source', async (step) => {
      // First: a follower that is still there, cut off from us, must not make anew what is taken back here.
      await raiseArchiveToken(deps.catalog, chainId);
      const { chain, databases } = await readArchiveSources(deps.catalog, chainId);
      let left = 0;
      for (const database of databases) {
        const failure = await release(deps, step, database, chain.slotName);
        if (failure === null) continue;
        left += 1;
        await keepForLater(deps, database, { slot: chain.slotName, policyId: chain.policyId, failure });
      }
      await noteArchiveStopped(deps.catalog, chainId);
      return { left };
    });
}

async function release(deps: ActivityDeps, step: Step, database: DatabaseRow, slot: string): Promise<unknown> {
  try {
    const connection = await connectionOf(deps, database);
    const engine = getChainEngine(database.engine as EngineKind);
    await engine.releaseArchive(connection, engineContext(deps, step), { slot });
    return null;
  } catch (error) {
    step.signal.throwIfAborted();
    return error;
  }
}

/**
 * The log is followed on another server from now on: what makes the former one keep its log would be moved by nobody, and becomes a clean-up.
 * A registered replica goes on holding it.
 */
export async function leaveFormerSource(deps: ActivityDeps, chain: ArchiveRun, to: DatabaseRow): Promise<void> {
  const attached = chain.attachments.map(({ database }) => database);
  const replicas = attached.flatMap(({ replicas: own }) => own);
  const former = [...attached, ...replicas].find(({ id }) => id === chain.sourceDatabaseId);
  const holdsLog = getChainEngine(chain.server.engine as EngineKind).holdLog !== undefined;
  if (!holdsLog || former === undefined || replicas.some(({ id }) => id === former.id)) return;
  if (former.host === to.host && former.port === to.port) return;
  const failure = new TidemarkError('connection_lost', `The log is archived from ${to.host}:${to.port} now.`);
  await keepForLater(deps, former, { slot: chain.slotName, policyId: chain.policyId, failure });
}

async function keepForLater(
  deps: ActivityDeps,
  database: DatabaseRow,
  { slot, policyId, failure }: { slot: string; policyId: string; failure: unknown },
): Promise<void> {
  const connection = await connectionOf(deps, database).catch(() => null);
  if (connection === null) return;
  const secretId = newId('secret');
  const sealed = await sealText(
    deps.masterKey,
    JSON.stringify({ password: connection.password }),
    secretContext(secretId),
  );
  const { engine, host, port, username, tls } = database;
  await insertCleanup(deps.catalog, {
    secret: { id: secretId, sealed },
    cleanup: {
      engine,
      host,
      port,
      username,
      database: database.database,
      tls,
      name: slot,
      policyId,
      databaseId: database.id,
    },
    error: toRecordedError(failure),
  });
}
