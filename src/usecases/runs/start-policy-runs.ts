import type { AttachmentRow } from '../../catalog/attachments.js';
import type {
  AttachInput,
  ChainLabels,
  CheckPolicyInput,
  CleanUpSourceInput,
  DetachInput,
  NotifyInput,
} from '../../workflows/messages.js';
import { workflowTypes } from '../../workflows/messages.js';
import {
  attachWorkflowId,
  checkPolicyWorkflowId,
  cleanUpSourceWorkflowId,
  detachWorkflowId,
  notifyWorkflowId,
  priorities,
} from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { startRun } from './start-run.js';

/** How people read an attachment in the Web UI. The server is not known before the workflow has looked at it. */
function labelsOf({ database, policy }: AttachmentRow): ChainLabels {
  const serverName = database.server?.identity ?? `${database.host}:${database.port}`;
  return { serverName, policyName: policy.name };
}

/** `retryPitr`: only the configuration of PITR again. */
export async function startAttach(
  context: UsecaseContext,
  row: AttachmentRow,
  options: { retryPitr?: boolean } = {},
): Promise<void> {
  const retryPitr = options.retryPitr === true;
  const input: AttachInput = { attachmentId: row.id, labels: labelsOf(row), ...(retryPitr ? { retryPitr } : {}) };
  await startRun(context, {
    type: workflowTypes.attach,
    workflowId: attachWorkflowId(row.id),
    args: [input],
    priorityKey: priorities.manual,
    summary: `${retryPitr ? 'Configure PITR of' : 'Attach'} ${row.database.name} (policy ${row.policy.name})`,
    attributes: { databaseId: row.databaseId, planId: null, policyId: row.policyId, kind: 'attach' },
  });
}

export async function startDetach(context: UsecaseContext, row: AttachmentRow): Promise<void> {
  const input: DetachInput = { attachmentId: row.id, labels: labelsOf(row) };
  await startRun(context, {
    type: workflowTypes.detach,
    workflowId: detachWorkflowId(row.id),
    args: [input],
    priorityKey: priorities.manual,
    summary: `Detach ${row.database.name} (policy ${row.policy.name})`,
    attributes: { databaseId: row.databaseId, planId: null, policyId: row.policyId, kind: 'detach' },
  });
}

/** The check that makes a policy active, repeated by the reconciler; one at a time, unlike those that a user asks for. */
export async function startPolicyValidation(
  context: UsecaseContext,
  policy: { id: string; name: string },
): Promise<void> {
  const input: CheckPolicyInput = { policyId: policy.id };
  await startRun(context, {
    type: workflowTypes.checkPolicy,
    workflowId: checkPolicyWorkflowId(policy.id, 'validate'),
    args: [input],
    priorityKey: priorities.manual,
    summary: `Check policy ${policy.name}`,
    attributes: { databaseId: null, planId: null, policyId: policy.id, kind: 'check' },
  });
}

export async function startNotification(
  context: UsecaseContext,
  row: { id: string; subject: string; policyId: string | null; databaseId: string | null },
): Promise<void> {
  const input: NotifyInput = { notificationId: row.id };
  await startRun(context, {
    type: workflowTypes.notify,
    workflowId: notifyWorkflowId(row.id),
    args: [input],
    priorityKey: priorities.manual,
    summary: `Tell: ${row.subject}`,
    attributes: { databaseId: row.databaseId, planId: null, policyId: row.policyId, kind: 'notify' },
  });
}

export async function startSourceCleanup(
  context: UsecaseContext,
  row: { id: string; name: string; host: string; port: number; policyId: string | null; databaseId: string | null },
): Promise<void> {
  const input: CleanUpSourceInput = { cleanupId: row.id };
  await startRun(context, {
    type: workflowTypes.cleanUpSource,
    workflowId: cleanUpSourceWorkflowId(row.id),
    args: [input],
    priorityKey: priorities.scheduled,
    summary: `Remove ${row.name} from ${row.host}:${row.port}`,
    attributes: { databaseId: row.databaseId, planId: null, policyId: row.policyId, kind: 'cleanup' },
  });
}
