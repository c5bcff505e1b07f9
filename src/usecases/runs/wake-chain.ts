import { findChainsOfDatabase } from '../../catalog/chains.js';
import type { ArchiveInput, ChainInput, ChainLabels } from '../../workflows/messages.js';
import { retainSignal, wakeSignal, workflowTypes } from '../../workflows/messages.js';
import { archiveWorkflowId, chainWorkflowId, priorities, taskQueues } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { searchAttributesOf } from './search-attributes.js';
import { startOrLeave } from './start-run.js';

/** What is needed to address the entities of a chain; a chain row has it. */
export type ChainAddress = {
  readonly id: string;
  readonly policyId: string;
  readonly serverId: string;
  readonly policy: { readonly name: string };
  readonly server: { readonly identity: string };
};

/** How people read a chain in the Web UI. */
export function chainLabels(chain: Pick<ChainAddress, 'policy' | 'server'>): ChainLabels {
  return { serverName: chain.server.identity, policyName: chain.policy.name };
}

/** Tells the chain entity that the catalog has something new, and starts it when it does not run. */
export async function wakeChain(context: UsecaseContext, chain: ChainAddress): Promise<void> {
  await wake(context, chain, entityOf(chain));
}

/** Has the chain entity apply retention as soon as no run of its server is under way. */
export async function askForRetention(context: UsecaseContext, chain: ChainAddress): Promise<void> {
  await wake(context, chain, { ...entityOf(chain), signal: retainSignal });
}

function entityOf(chain: ChainAddress) {
  const labels = chainLabels(chain);
  return {
    type: workflowTypes.chain,
    workflowId: chainWorkflowId(chain.policyId, chain.serverId),
    input: { chainId: chain.id, labels } satisfies ChainInput,
    summary: `Backups of ${labels.serverName} (policy ${labels.policyName})`,
  };
}

/** As `wakeChain`, of the entity that follows the log. */
export async function wakeArchive(context: UsecaseContext, chain: ChainAddress): Promise<void> {
  const labels = chainLabels(chain);
  const input: ArchiveInput = { chainId: chain.id, labels };
  await wake(context, chain, {
    type: workflowTypes.archive,
    workflowId: archiveWorkflowId(chain.policyId, chain.serverId),
    input,
    summary: `Log archive of ${labels.serverName} (policy ${labels.policyName})`,
  });
}

/**
 * Where a database or its replica is reached has changed: who follows its log reads the addresses anew. Without this it would do so within
 * an hour, and not know of a replica that takes over until then.
 */
export async function wakeArchivesOf(
  context: UsecaseContext,
  database: { readonly id: string; readonly primaryId: string | null },
): Promise<void> {
  for (const chain of await findChainsOfDatabase(context.catalog.prisma, database.primaryId ?? database.id)) {
    if (chain.archiveWanted) await startOrLeave(context, chain.id, () => wakeArchive(context, chain));
  }
}

async function wake(
  context: UsecaseContext,
  chain: ChainAddress,
  entity: { type: string; workflowId: string; input: ChainInput; summary: string; signal?: string },
): Promise<void> {
  await context.temporal.withDeadline(Date.now() + 5_000, () =>
    context.temporal.workflow.signalWithStart(entity.type, {
      workflowId: entity.workflowId,
      taskQueue: taskQueues.control,
      args: [entity.input],
      signal: entity.signal ?? wakeSignal,
      signalArgs: [],
      priority: { priorityKey: priorities.scheduled },
      staticSummary: entity.summary,
      ...searchAttributesOf(context, {
        databaseId: null,
        planId: null,
        policyId: chain.policyId,
        kind: entity.type,
      }),
    }),
  );
}
