import { beginDetach as begin, finishDetach as finish } from '../../catalog/runs/attach-run.js';
import { identityOf, noteChainRun as note, takeNextChainRun } from '../../catalog/runs/chain-run.js';
import { claimChainRun } from '../../catalog/runs/claim-chain.js';
import { countFailure, countSuccess } from '../../catalog/runs/count-runs.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { runShort } from '../run-step.js';

/** What the chain entity does next. */
export function readChain(deps: ActivityDeps): Activities['readChain'] {
  return ({ chainId }) =>
    runShort(deps, 'read-chain', async () => {
      const found = await takeNextChainRun(deps.catalog, chainId);
      if (found.state !== 'run') return found;
      const { run } = found;
      const database = await deps.catalog.prisma.database.findUnique({ where: { id: run.databaseId } });
      const chain = await deps.catalog.prisma.chain.findUnique({ where: { id: chainId }, include: { policy: true } });
      const labels = { databaseName: database?.name ?? run.databaseId, planName: chain?.policy.name ?? null };
      return { state: 'run', ...run, labels };
    });
}

/** One firing of a schedule of a chain. A paused policy has no runs; a log incremental without a log is skipped by name, not failed. */
export function claimChain(deps: ActivityDeps): Activities['claimChain'] {
  return ({ chainId, kind, scheduledFor }) =>
    runShort(deps, 'claim-chain', async () => {
      const chain = await deps.catalog.prisma.chain.findUnique({
        where: { id: chainId },
        include: { policy: true, server: true },
      });
      if (chain === null || chain.endedAt !== null || chain.policy.deletedAt !== null) {
        return { state: 'skipped', backupId: null, reason: 'the chain is gone' };
      }
      const { policyId, serverId, policy } = chain;
      if (kind === 'retention') return { state: 'retain', policyId, serverId };
      // One whose last check failed goes on trying: its failures are what people are told of.
      if (policy.status === 'paused') {
        return { state: 'skipped', backupId: null, reason: 'the policy is paused' };
      }
      const needsLog =
        kind === 'incremental' &&
        !policy.pitr &&
        getChainEngine(chain.server.engine as EngineKind).incrementalKind(identityOf(chain.server)) === 'log';
      const refused = {
        code: 'not_supported',
        message: 'Incrementals of this server are made of its archived log, and the policy archives none.',
      };
      const claim = await claimChainRun(deps.catalog, {
        chainId,
        kind,
        trigger: 'schedule',
        scheduledFor: new Date(scheduledFor),
        ...(needsLog ? { refused } : {}),
      });
      if (claim.state === 'skipped') return claim;
      return { state: 'claimed', backupId: claim.backupId, policyId, serverId };
    });
}

/** What a run's result means for the attachments of its chain. Safe to repeat. */
export function noteChainRun(deps: ActivityDeps): Activities['noteChainRun'] {
  return ({ backupId }) =>
    runShort(deps, 'note-chain-run', async () => {
      const { settled, status } = await note(deps.catalog, backupId);
      if (status === 'completed') await countSuccess(deps.catalog, { backupId });
      if (status === 'failed') await countFailure(deps.catalog, { backupId });
      return { settled, completed: status === 'completed' };
    });
}

export function beginDetach(deps: ActivityDeps): Activities['beginDetach'] {
  return ({ attachmentId }) =>
    runShort(deps, 'begin-detach', async () => {
      const begun = await begin(deps.catalog, attachmentId);
      return begun === null ? { state: 'gone' } : { state: 'begun', ...begun };
    });
}

export function finishDetach(deps: ActivityDeps): Activities['finishDetach'] {
  return ({ attachmentId }) => runShort(deps, 'finish-detach', () => finish(deps.catalog, attachmentId));
}
