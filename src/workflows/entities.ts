import type { SignalDefinition } from '@temporalio/workflow';
import {
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  ParentClosePolicy,
  startChild,
  WorkflowIdReusePolicy,
} from '@temporalio/workflow';
import type { ChainLabels } from './messages.js';
import { retainSignal, wakeSignal, workflowTypes } from './messages.js';
import { archiveWorkflowId, chainWorkflowId, priorities, taskQueues } from './names.js';
import { ownSearchAttributes, searchAttributeKeys } from './story.js';

const wake = defineSignal(wakeSignal);
/** For `wakeEntity`: retention is due. */
export const retain = defineSignal(retainSignal);

export type EntityPlace = { readonly chainId: string; readonly policyId: string; readonly serverId: string };

/** Starts an entity of a chain, or wakes the one that runs. The reconciler does the same every half minute; this does it at once. */
export async function startOrWake(
  kind: 'chain' | 'archive',
  { chainId, policyId, serverId }: EntityPlace,
  labels: ChainLabels,
): Promise<void> {
  const workflowId = kind === 'chain' ? chainWorkflowId(policyId, serverId) : archiveWorkflowId(policyId, serverId);
  try {
    await startChild(workflowTypes[kind], {
      workflowId,
      taskQueue: taskQueues.control,
      args: [{ chainId, labels }],
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      parentClosePolicy: ParentClosePolicy.ABANDON,
      staticSummary:
        kind === 'chain'
          ? `Backups of ${labels.serverName} (policy ${labels.policyName})`
          : `Log archive of ${labels.serverName} (policy ${labels.policyName})`,
      priority: { priorityKey: priorities.scheduled },
      ...attributesOf(kind),
    });
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'WorkflowExecutionAlreadyStartedError') throw error;
    await wakeEntity(workflowId);
  }
}

/** Those of whoever starts it, where the namespace knows them, but for what is of one database. */
function attributesOf(kind: 'chain' | 'archive') {
  const own = ownSearchAttributes();
  if (own.get(searchAttributeKeys.status) === undefined) return {};
  const typedSearchAttributes = own.updateCopy([
    { key: searchAttributeKeys.database, value: null },
    { key: searchAttributeKeys.kind, value: kind },
  ]);
  return { typedSearchAttributes };
}

/** Wakes an entity that runs. One that does not will read the catalog when it is started. */
export async function wakeEntity(workflowId: string, signal: SignalDefinition = wake): Promise<void> {
  try {
    await getExternalWorkflowHandle(workflowId).signal(signal);
  } catch (error) {
    if (isCancellation(error)) throw error;
  }
}
