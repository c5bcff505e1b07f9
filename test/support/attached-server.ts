/** Databases under a policy, put there as users do it, without the API. */
import { claimChainRun } from '../../src/catalog/runs/claim-chain.js';
import { attachDatabase } from '../../src/usecases/attach-database.js';
import { createPolicy } from '../../src/usecases/create-policy.js';
import { wakeSignal, workflowTypes } from '../../src/workflows/messages.js';
import { chainWorkflowId, taskQueues } from '../../src/workflows/names.js';
import type { RunStack } from './run-stack.js';
import { until } from './until.js';

/** A policy whose check has been made. A worker has to run. */
export async function makePolicy(stack: RunStack, destinationId: string, options: { pitr: boolean }) {
  const { id } = await createPolicy(stack.context, stack.admin, {
    name: `policy of ${destinationId}`,
    destinationId,
    schedule: { full: { frequency: 'daily', time: '03:00' }, incremental: '1h' },
    encryption: true,
    ...options,
  });
  await until(
    async () => (await stack.catalog.prisma.policy.findUniqueOrThrow({ where: { id } })).status === 'active',
    'the policy to be checked',
    60_000,
  );
  return id;
}

/** Attaches and waits for what comes of it. */
export async function attach(stack: RunStack, policyId: string, databaseId: string, accept: string[] = []) {
  const { id } = await attachDatabase(stack.context, stack.admin, { policyId, databaseId, accept });
  return await until(
    async () => {
      const row = await stack.catalog.prisma.attachment.findUniqueOrThrow({ where: { id }, include: { chain: true } });
      return row.status === 'configuring' ? null : row;
    },
    'the attachment to be settled',
    300_000,
  );
}

/** Asks for a run of a chain and wakes its entity. Returns the id of the row. */
export async function askForRun(stack: RunStack, chainId: string, kind: 'full' | 'incremental'): Promise<string> {
  const requestedBy = stack.admin.userId;
  const claim = await claimChainRun(stack.catalog, { chainId, kind, trigger: 'manual', requestedBy });
  if (claim.state !== 'claimed') throw new Error(claim.reason);
  await stack.temporal.client.workflow.signalWithStart(workflowTypes.chain, {
    workflowId: chainWorkflowId(claim.policyId, claim.serverId),
    taskQueue: taskQueues.control,
    args: [{ chainId, labels: { serverName: 'source', policyName: 'policy' } }],
    signal: wakeSignal,
  });
  return claim.backupId;
}
