import type { ErrorCode } from '../domain/errors.js';

/** Inputs and results of every workflow: ids and small plain JSON only, never a credential (design section 6). */

/** Labels for the Web UI, so that its list reads like a story. */
export type RunLabels = { databaseName: string; planName: string | null };

export type BackupInput = { backupId: string; trigger: 'manual' | 'schedule'; labels: RunLabels };
export type RestoreInput = { restoreId: string; labels: RunLabels };
export type RevertInput = { restoreId: string; labels: RunLabels };
export type DeleteBackupInput = { backupId: string };
export type FireInput = { planId: string };
export type CheckDatabaseInput = { databaseId: string };
/** `takeOver`: this installation becomes the writer, whoever was. */
export type CheckDestinationInput = { destinationId: string; takeOver?: boolean };

/** The two entities of a server under a policy. Everything else about them stands in the catalog, read anew after each wake. */
export type ChainLabels = { serverName: string; policyName: string };
/** `retentionDue`: handed from one history to the next. */
export type ChainInput = { chainId: string; labels: ChainLabels; retentionDue?: boolean };
export type ArchiveInput = { chainId: string; labels: ChainLabels };
/** Started by the schedules of a chain: claims (or skips) the run in the catalog, or asks for retention, and wakes the entity. */
export type FireChainInput = { chainId: string; kind: 'full' | 'incremental' | 'retention' };
/** `retryPitr`: only the configuration of PITR again. */
export type AttachInput = { attachmentId: string; labels: ChainLabels; retryPitr?: boolean };
export type DetachInput = { attachmentId: string; labels: ChainLabels };
export type CheckPolicyInput = { policyId: string };
export type NotifyInput = { notificationId: string };
export type CleanUpSourceInput = { cleanupId: string };

/** Signal of both entities: the catalog has something new. Carries nothing, so that none can be stale. */
export const wakeSignal = 'wake';
/** Signal of the chain entity: it is time for retention. */
export const retainSignal = 'retain';

/** What a run ended as; the row in the catalog holds the same. */
export type RunResult = { status: 'completed' | 'failed' | 'cancelled' | 'skipped'; code: ErrorCode | null };
export type FireResult = { backupId: string; status: 'started' | 'skipped' };

/** Workflow type names, as registered. */
export const workflowTypes = {
  backup: 'backup',
  restore: 'restore',
  revert: 'revert',
  deleteBackup: 'deleteBackup',
  fire: 'fire',
  checkDatabase: 'checkDatabase',
  checkDestination: 'checkDestination',
  housekeeping: 'housekeeping',
  chain: 'chain',
  archive: 'archive',
  fireChain: 'fireChain',
  attach: 'attach',
  detach: 'detach',
  checkPolicy: 'checkPolicy',
  notify: 'notify',
  cleanUpSource: 'cleanUpSource',
} as const;

/** Progress of a long run: percent only from a denominator taken at the start, never backwards. */
export type RunProgress = { phase: string; bytes: number; percent: number | null };
