import { ParentClosePolicy, startChild, WorkflowIdReusePolicy, workflowInfo } from '@temporalio/workflow';
import { activities } from './activity-options.js';
import { backup } from './backup.js';
import type { FireInput, FireResult } from './messages.js';
import { backupWorkflowId, priorities, taskQueues } from './names.js';
import { ownSearchAttributes, Story, searchAttributeKeys } from './story.js';

/**
 * Started by a plan's Temporal Schedule. Claims the database in the catalog and starts the backup as its own run, which outlives this
 * one: the schedule's overlap rule then never holds back the claim that records a skipped backup.
 */
export async function fire(input: FireInput): Promise<FireResult> {
  const story = new Story();
  const claim = await activities.catalog.claimScheduledBackup({
    planId: input.planId,
    scheduledFor: scheduledTime(),
  });
  if (claim.state === 'skipped') {
    story.tell(`Skipped: ${claim.reason}`);
    story.status('skipped');
    return { backupId: claim.backupId ?? '', status: 'skipped' };
  }
  const status = ownSearchAttributes().get(searchAttributeKeys.status);
  await startChild(backup, {
    workflowId: backupWorkflowId(claim.backupId),
    taskQueue: taskQueues.control,
    args: [{ backupId: claim.backupId, trigger: 'schedule', labels: claim.labels }],
    // The reconciler may have started it from its row already; then the child's start fails and that run counts.
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
    parentClosePolicy: ParentClosePolicy.ABANDON,
    priority: { priorityKey: priorities.scheduled },
    staticSummary: `Back up ${claim.labels.databaseName} (plan ${claim.labels.planName ?? '-'})`,
    ...(status === undefined ? {} : { typedSearchAttributes: ownSearchAttributes().updateCopy([]) }),
  }).catch((error: unknown) => {
    if (!(error instanceof Error) || error.name !== 'WorkflowExecutionAlreadyStartedError') throw error;
  });
  story.tell(`Started ${backupWorkflowId(claim.backupId)}`);
  story.status('started');
  return { backupId: claim.backupId, status: 'started' };
}

/** The time the schedule meant, not the time it got round to it: after an outage these differ. */
export function scheduledTime(): string {
  const attribute = workflowInfo().searchAttributes.TemporalScheduledStartTime;
  const value = attribute?.[0];
  return (value instanceof Date ? value : workflowInfo().startTime).toISOString();
}
