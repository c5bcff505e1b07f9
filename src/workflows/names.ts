/** Ids, task queues and names in one place: the API, the reconciler and the workers must build the same text (pure, workflow-safe). */

export const taskQueues = { control: 'control', data: 'data', stream: 'stream' } as const;
export type TaskQueue = keyof typeof taskQueues;

export const backupWorkflowId = (backupId: string) => `backup/${backupId}`;
export const restoreWorkflowId = (restoreId: string) => `restore/${restoreId}`;
export const revertWorkflowId = (restoreId: string) => `revert/${restoreId}`;
export const deleteBackupWorkflowId = (backupId: string) => `delete-backup/${backupId}`;
export const checkDatabaseWorkflowId = (databaseId: string, nonce: string) => `check-database/${databaseId}/${nonce}`;
export const checkDestinationWorkflowId = (destinationId: string, nonce: string) =>
  `check-destination/${destinationId}/${nonce}`;
/** Temporal appends `-<time>` to the ids of the runs that a schedule starts. */
export const fireWorkflowId = (planId: string) => `fire/${planId}`;
export const planScheduleId = (planId: string) => `plan/${planId}`;
/** Entities: one of each per server under a policy. */
export const chainWorkflowId = (policyId: string, serverId: string) => `chain/${policyId}/${serverId}`;
export const archiveWorkflowId = (policyId: string, serverId: string) => `archive/${policyId}/${serverId}`;
export const attachWorkflowId = (attachmentId: string) => `attach/${attachmentId}`;
export const detachWorkflowId = (attachmentId: string) => `detach/${attachmentId}`;
export const checkPolicyWorkflowId = (policyId: string, nonce: string) => `check-policy/${policyId}/${nonce}`;
export const notifyWorkflowId = (notificationId: string) => `notify/${notificationId}`;
export const cleanUpSourceWorkflowId = (cleanupId: string) => `clean-up-source/${cleanupId}`;
/** Schedules of a chain, and the workflow ids of what they start. */
export const chainScheduleId = (chainId: string, kind: 'full' | 'incremental' | 'retention') =>
  `chain-${kind}/${chainId}`;
export const fireChainWorkflowId = (chainId: string, kind: 'full' | 'incremental' | 'retention') =>
  `fire-${kind}/${chainId}`;
export const housekeepingScheduleId = 'housekeeping';
export const housekeepingWorkflowId = 'housekeeping/run';

/** Priorities (1 is first): restore before manual before scheduled. */
export const priorities = { restore: 1, manual: 2, scheduled: 4 } as const;

/** Typed search attributes, all Keyword, registered where allowed. */
export const searchAttributeNames = {
  database: 'TidemarkDatabase',
  plan: 'TidemarkPlan',
  policy: 'TidemarkPolicy',
  kind: 'TidemarkKind',
  status: 'TidemarkStatus',
} as const;
