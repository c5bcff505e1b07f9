import type { WorkflowStartOptions } from '@temporalio/client';
import { WorkflowIdConflictPolicy, WorkflowIdReusePolicy } from '@temporalio/client';
import type { BackupTrigger } from '../../domain/statuses.js';
import type { BackupInput, DeleteBackupInput, RestoreInput, RevertInput, RunLabels } from '../../workflows/messages.js';
import { workflowTypes } from '../../workflows/messages.js';
import {
  backupWorkflowId,
  deleteBackupWorkflowId,
  priorities,
  restoreWorkflowId,
  revertWorkflowId,
  taskQueues,
} from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import type { RunAttributes } from './search-attributes.js';
import { searchAttributesOf } from './search-attributes.js';

/** How long a request waits for Temporal before it leaves the start to the reconcile loop (milliseconds). */
const START_DEADLINE_MS = 5_000;

export type Start = {
  type: string;
  workflowId: string;
  args: unknown[];
  priorityKey: number;
  summary: string;
  attributes: RunAttributes;
};

/**
 * Starts a workflow of a row that exists. A run of that id that is under way is used as it is: requests, `fire` and the reconciler may
 * all start the same row. Reuse of a closed id is allowed because only the reconciler does it, and a settled row ends such a run at once.
 */
export async function startRun(context: UsecaseContext, run: Start): Promise<void> {
  const options: WorkflowStartOptions = {
    workflowId: run.workflowId,
    taskQueue: taskQueues.control,
    args: run.args,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    priority: { priorityKey: run.priorityKey },
    staticSummary: run.summary,
    ...searchAttributesOf(context, run.attributes),
  };
  await context.temporal.withDeadline(Date.now() + START_DEADLINE_MS, () =>
    context.temporal.workflow.start(run.type, options),
  );
}

/** Row first: when the start fails the row waits, pending, for the reconcile loop, and the request has still succeeded. */
export async function startOrLeave(context: UsecaseContext, what: string, work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    context.logger.warn(
      { err: error, run: what },
      'Temporal did not take the start; the reconcile loop will repeat it',
    );
    return false;
  }
}

export type BackupRun = {
  id: string;
  kind: string;
  databaseId: string;
  planId: string | null;
  trigger: BackupTrigger;
  labels: RunLabels;
};

export async function startBackupRun(context: UsecaseContext, run: BackupRun): Promise<void> {
  const input: BackupInput = { backupId: run.id, trigger: run.trigger, labels: run.labels };
  await startRun(context, {
    type: workflowTypes.backup,
    workflowId: backupWorkflowId(run.id),
    args: [input],
    priorityKey: run.trigger === 'manual' ? priorities.manual : priorities.scheduled,
    summary: `Back up ${run.labels.databaseName}${run.labels.planName === null ? '' : ` (plan ${run.labels.planName})`}`,
    attributes: { databaseId: run.databaseId, planId: run.planId, kind: run.kind },
  });
}

export type RestoreRun = {
  id: string;
  databaseId: string;
  planId: string | null;
  policyId: string | null;
  targetName: string;
  labels: RunLabels;
};

export async function startRestoreRun(context: UsecaseContext, run: RestoreRun): Promise<void> {
  const input: RestoreInput = { restoreId: run.id, labels: run.labels };
  await startRun(context, {
    type: workflowTypes.restore,
    workflowId: restoreWorkflowId(run.id),
    args: [input],
    priorityKey: priorities.restore,
    summary: `Restore ${run.labels.databaseName} into ${run.targetName}`,
    attributes: { databaseId: run.databaseId, planId: run.planId, policyId: run.policyId, kind: 'restore' },
  });
}

export async function startRevertRun(context: UsecaseContext, run: RestoreRun): Promise<void> {
  const input: RevertInput = { restoreId: run.id, labels: run.labels };
  await startRun(context, {
    type: workflowTypes.revert,
    workflowId: revertWorkflowId(run.id),
    args: [input],
    priorityKey: priorities.restore,
    summary: `Put back what ${run.targetName} held before`,
    attributes: { databaseId: run.databaseId, planId: run.planId, policyId: run.policyId, kind: 'revert' },
  });
}

export async function startDeletion(context: UsecaseContext, backupId: string): Promise<void> {
  const input: DeleteBackupInput = { backupId };
  await startRun(context, {
    type: workflowTypes.deleteBackup,
    workflowId: deleteBackupWorkflowId(backupId),
    args: [input],
    priorityKey: priorities.scheduled,
    summary: `Delete backup ${backupId}`,
    attributes: { databaseId: null, planId: null, kind: 'delete' },
  });
}
