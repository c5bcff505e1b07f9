import { findWaitingAttachments } from '../../catalog/attachments.js';
import type { ChainRow } from '../../catalog/chains.js';
import { findLiveChains } from '../../catalog/chains.js';
import { findOpenCleanups, findPendingNotifications } from '../../catalog/notifications.js';
import { findUncheckedPolicies } from '../../catalog/policies.js';
import {
  archiveWorkflowId,
  attachWorkflowId,
  chainWorkflowId,
  cleanUpSourceWorkflowId,
  detachWorkflowId,
  notifyWorkflowId,
} from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import {
  startAttach,
  startDetach,
  startNotification,
  startPolicyValidation,
  startSourceCleanup,
} from '../runs/start-policy-runs.js';
import { wakeArchive, wakeChain } from '../runs/wake-chain.js';
import { findWorkflow } from './find-workflow.js';
import type { PassResult } from './pass-result.js';
import { queueMissingFull } from './queue-missing-full.js';

/** What is this young may still be on its way to Temporal with the request that made it. */
const YOUNG_MS = 10_000;
/** A check ends by itself within two minutes; then it is asked for again. */
const CHECK_MS = 150_000;

/**
 * Brings what policies want and what runs together again: the two entities of every server that is protected, attachments on their way
 * in or out, checks that never ended, mails and clean-ups that wait.
 */
export async function reconcilePolicies(context: UsecaseContext, result: PassResult): Promise<void> {
  const { prisma } = context.catalog;
  const ensure = (what: string, id: string, workflowId: string, begin: () => Promise<void>) =>
    result.attempt(`${what} ${id}`, async () => {
      if ((await findWorkflow(context, workflowId)) === 'running') return;
      await begin();
      result.note('runsStarted', id);
    });

  for (const row of await findWaitingAttachments(prisma)) {
    if (Date.now() - row.createdAt.getTime() < YOUNG_MS) continue;
    const leaving = row.status === 'detaching';
    const workflowId = leaving ? detachWorkflowId(row.id) : attachWorkflowId(row.id);
    await ensure('attachment', row.id, workflowId, () =>
      leaving ? startDetach(context, row) : startAttach(context, row, { retryPitr: row.status === 'active' }),
    );
  }
  for (const chain of await findLiveChains(prisma)) {
    const { id, policyId, serverId } = chain;
    await ensure('chain', id, chainWorkflowId(policyId, serverId), () => wakeChain(context, chain));
    if (!needsArchive(chain)) continue;
    await ensure('archive', id, archiveWorkflowId(policyId, serverId), () => wakeArchive(context, chain));
    await result.attempt(`full of ${id}`, () => queueMissingFull(context, chain, result));
  }
  for (const row of await findUncheckedPolicies(prisma, new Date(Date.now() - CHECK_MS))) {
    await result.attempt(`policy ${row.id}`, () => startPolicyValidation(context, row));
  }
  for (const row of await findPendingNotifications(prisma)) {
    await ensure('notification', row.id, notifyWorkflowId(row.id), () => startNotification(context, row));
  }
  for (const row of await findOpenCleanups(prisma)) {
    await ensure('clean-up', row.id, cleanUpSourceWorkflowId(row.id), () => startSourceCleanup(context, row));
  }
}

/** The log is to be followed; or it was, and the server has not been released yet. */
function needsArchive({ archiveWanted, archiveStatus }: ChainRow): boolean {
  return archiveWanted || ['starting', 'following', 'error'].includes(archiveStatus);
}
