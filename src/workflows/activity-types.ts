import type { ErrorCode } from '../domain/errors.js';
import type { LogPosition } from '../domain/positions.js';
import type { StopPoint } from '../domain/recovery-target.js';
import type { BackupKind } from '../domain/statuses.js';
import type { AttachmentActivities, ChainActivities } from './chain-activity-types.js';
import type { CheckDestinationInput, RunLabels, RunProgress, RunResult } from './messages.js';
import type { PeopleActivities } from './people-activity-types.js';

/**
 * What the workflows call. It stands on the workflows' side, so that workflow code depends on nothing but itself and `domain`;
 * `createActivities` implements it. Everything crosses as small plain JSON and ids; credentials are read from sealed rows by the activity.
 */

export type RunError = { readonly code: ErrorCode; readonly message: string };

/** One try at a backup. `token` is the fencing token with which it must still agree before it publishes. */
export type BackupAttempt = { readonly attemptId: string; readonly number: number; readonly token: number };

/** `settled`: the row already has its result, there is nothing to do (a workflow started twice for one row). */
export type AttemptStart =
  | {
      readonly state: 'begun';
      readonly attempt: BackupAttempt;
      readonly planId: string | null;
      /** Absent in histories of older code, which knew dumps only. */
      readonly kind?: BackupKind;
    }
  | { readonly state: 'settled'; readonly result: RunResult };

export type BackupSummary = {
  readonly bytes: number;
  readonly storedBytes: number;
  readonly tables: number | null;
  readonly rows: string | null;
  readonly location: string;
  /** The attempt found a published, valid manifest of an earlier attempt and took it over. */
  readonly adopted: boolean;
};

export type ClaimedBackup =
  | { readonly state: 'claimed'; readonly backupId: string; readonly labels: RunLabels }
  | { readonly state: 'skipped'; readonly backupId: string | null; readonly reason: string };

export type RestorePreparation =
  | {
      readonly state: 'ready';
      /** `staged`: built beside the target and swapped in. `direct`: loaded into the empty target, because the role may not create databases. */
      readonly way: 'staged' | 'direct';
      readonly targetExists: boolean;
      readonly bytes: number;
      readonly estimatedBytes: number;
      readonly place: string;
      /** Replayed in a sandbox first: the backup is a full or an incremental. Says what is read. */
      readonly recovery?: string;
    }
  /** A swap of this restore was begun by a workflow that is lost: it is finished before anything else. */
  | { readonly state: 'swapping' }
  | { readonly state: 'settled'; readonly result: RunResult };

export type RestoreComparison = {
  readonly proof: 'source' | 'continuity';
  readonly tables: number | null;
  readonly rows: string | null;
};

export type SwapResult = { readonly previousName: string | null; readonly shutOutSeconds: number };

/** What housekeeping has found to do, at most some hundred ids per kind and run. */
export type HousekeepingWork = {
  /** Restores whose kept former content is past its time. */
  readonly previousOfRestores: readonly string[];
  /** Settled restores of which a staging database is still there. */
  readonly stagingOfRestores: readonly string[];
  readonly deletions: readonly string[];
  readonly plans: readonly string[];
  readonly destinations: readonly string[];
};

/** The desired state of a server's log archive. */
export type ArchiveWish = {
  readonly wanted: boolean;
  /** The source is still set up to keep its log. */
  readonly held: boolean;
  readonly policyId: string;
  readonly serverId: string;
  /** Changes when the log has to be followed anew. */
  readonly settings: string;
};

/** `rotated`: it ended by itself, to be begun again. `gap`: the log does not go on where the store ends. */
export type FollowResult =
  | { readonly ended: 'rotated' }
  | {
      readonly ended: 'gap';
      readonly error: RunError;
      /** The last that is known; null: as far as the catalog says. */
      readonly from: LogPosition | null;
      readonly to: LogPosition | null;
    };

export type RecoveryResult = {
  readonly stagingName: string;
  readonly comparison: { readonly tables: number | null; readonly rows: string | null };
  readonly lastApplied: StopPoint | null;
  readonly firstRefused: StopPoint | null;
};

export interface Activities extends ChainActivities, AttachmentActivities, PeopleActivities {
  // schedules
  claimScheduledBackup(input: { planId: string; scheduledFor: string }): Promise<ClaimedBackup>;
  // backup
  beginAttempt(input: { backupId: string }): Promise<AttemptStart>;
  dumpDatabase(input: { backupId: string; attempt: BackupAttempt }): Promise<BackupSummary>;
  endAttempt(input: { backupId: string; attempt: BackupAttempt; error: RunError }): Promise<void>;
  settleBackup(input: { backupId: string; status: 'failed' | 'cancelled'; error: RunError }): Promise<RunResult>;
  removeRemains(input: { backupId: string }): Promise<{ attempts: number }>;
  applyRetention(input: { planId: string }): Promise<{ deletions: string[] }>;
  deleteBackupObjects(input: { backupId: string }): Promise<void>;
  noteDeletionRefused(input: { backupId: string; error: RunError }): Promise<void>;
  // restore
  prepareRestore(input: { restoreId: string }): Promise<RestorePreparation>;
  verifyArtifacts(input: { restoreId: string }): Promise<{ objects: number; storedBytes: number }>;
  buildStaging(input: { restoreId: string }): Promise<{ stagingName: string }>;
  compareStaging(input: { restoreId: string }): Promise<RestoreComparison>;
  swapIn(input: { restoreId: string }): Promise<SwapResult>;
  undoSwap(input: { restoreId: string; purpose: 'swap' | 'revert' }): Promise<{ undone: boolean; completed: boolean }>;
  dropStaging(input: { restoreId: string }): Promise<void>;
  settleRestore(input: {
    restoreId: string;
    status: 'completed' | 'failed' | 'cancelled';
    error: RunError | null;
  }): Promise<RunResult>;
  /** What the row of a run says of its progress; null when it says nothing. Called as a local activity, for the Web UI alone. */
  readProgress(input: { backupId: string } | { restoreId: string }): Promise<RunProgress | null>;
  /** For a full, an incremental or a point in time: recovers in a sandbox, loads from there into staging, compares the two. */
  recoverIntoStaging(input: { restoreId: string }): Promise<RecoveryResult>;
  // log archive
  readArchive(input: { chainId: string }): Promise<ArchiveWish | null>;
  followLog(input: { chainId: string }): Promise<FollowResult>;
  noteArchiveError(input: { chainId: string; error: RunError }): Promise<void>;
  noteGap(input: { chainId: string; error: RunError; from: LogPosition | null; to: LogPosition | null }): Promise<{
    /** False when the epoch held nothing: there is no range to name and nothing new to begin. */
    noted: boolean;
    /** The full that was queued at once. */
    backupId: string | null;
  }>;
  releaseSource(input: { chainId: string }): Promise<{ left: number }>;
  // after a restore
  revertRestore(input: { restoreId: string }): Promise<SwapResult>;
  settleRevert(input: { restoreId: string; error: RunError | null }): Promise<void>;
  dropPrevious(input: { restoreId: string }): Promise<{ dropped: string | null }>;
  // checks
  checkDatabase(input: { databaseId: string }): Promise<{ ok: boolean; code: ErrorCode | null }>;
  checkDestination(input: CheckDestinationInput): Promise<{ ok: boolean; code: ErrorCode | null }>;
  // housekeeping
  findHousekeeping(): Promise<HousekeepingWork>;
  sweepDestination(input: { destinationId: string }): Promise<{
    uploads: number;
    objects: number;
    /** Backups of failed runs that turned out complete, and manifests of settled runs that were removed. */
    lateAdopted: number;
    lateRemoved: number;
    unknownManifests: number;
  }>;
  expireRows(): Promise<{ idempotencyKeys: number; sessions: number; secrets: number }>;
}
