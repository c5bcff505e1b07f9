import type { ErrorCode } from '../domain/errors.js';
import type { BackupAttempt, BackupSummary, RunError } from './activity-types.js';
import type { FireChainInput, RunLabels, RunResult } from './messages.js';

/** What the workflows of chains and attachments call. Rules of activity-types.ts. */

export type ChainStep =
  | { readonly state: 'gone' }
  /** `alive`: databases are attached, so that there will be something to do. */
  | { readonly state: 'idle'; readonly alive: boolean }
  | {
      readonly state: 'run';
      readonly backupId: string;
      readonly kind: 'full' | 'incremental';
      readonly trigger: 'manual' | 'schedule';
      readonly databaseId: string;
      readonly labels: RunLabels;
    };

export type ChainFiring =
  | { readonly state: 'claimed'; readonly backupId: string; readonly policyId: string; readonly serverId: string }
  | { readonly state: 'skipped'; readonly backupId: string | null; readonly reason: string }
  /** Nothing to claim: the entity applies retention. */
  | { readonly state: 'retain'; readonly policyId: string; readonly serverId: string };

export interface ChainActivities {
  /** The run the chain is at; a full that waited takes its turn. */
  readChain(input: { chainId: string }): Promise<ChainStep>;
  claimChain(input: FireChainInput & { scheduledFor: string }): Promise<ChainFiring>;
  takeServerBackup(input: { backupId: string; attempt: BackupAttempt }): Promise<BackupSummary>;
  /** After a run: what its result means for the attachments. `settled` is false when the row has no result yet. */
  noteChainRun(input: { backupId: string }): Promise<{ settled: boolean; completed: boolean }>;
  applyChainRetention(input: { chainId: string }): Promise<{ deletedBackups: string[]; deletedSlices: number }>;
}

/** What attaching goes on with. */
export type AttachPlan = {
  readonly chainId: string;
  readonly policyId: string;
  readonly serverId: string;
  readonly pitr: boolean;
};

export type AttachStart =
  | ({ readonly state: 'ready' } & AttachPlan)
  | { readonly state: 'refused'; readonly error: RunError }
  /** Detached meanwhile, or gone: nothing to do. */
  | { readonly state: 'gone' };

export type DetachStart =
  | { readonly state: 'gone' }
  | {
      readonly state: 'begun';
      /** Null: it had not come so far as to have a chain. */
      readonly chain: { readonly chainId: string; readonly policyId: string; readonly serverId: string } | null;
      /** It was the last one of its chain: the archive stops and the source is released. */
      readonly last: boolean;
      /** Runs of a chain without databases: to be cancelled. */
      readonly runs: readonly string[];
    };

export interface AttachmentActivities {
  inspectAttachment(input: { attachmentId: string }): Promise<AttachStart>;
  /** Lets the source keep its log, and wants it archived. */
  configurePitr(input: { attachmentId: string }): Promise<{ wanted: boolean }>;
  /** Waits, within minutes, until the archive has come to cover something. Null: it has; else why not. */
  awaitArchive(input: { chainId: string }): Promise<RunError | null>;
  notePitrError(input: { attachmentId: string; error: RunError }): Promise<void>;
  /**
   * The full that the chain needs, claimed or under way; null when it has one that the present log goes on from and that serves the attached
   * database as well. `attachmentId`: left out by workflows of earlier builds.
   */
  claimInitialFull(input: {
    chainId: string;
    claimedAt: string;
    attachmentId?: string;
  }): Promise<{ backupId: string | null }>;
  /** Waits, within half an hour, for a run's result. Null: it has none yet. */
  awaitBackup(input: { backupId: string }): Promise<(RunResult & { message: string | null }) | null>;
  /** Opens the chain's newest full in a sandbox here, once per chain, and finds the database in it. */
  proveInSandbox(input: { attachmentId: string }): Promise<{ databases: number }>;
  finishAttach(input: {
    attachmentId: string;
    error: RunError | null;
  }): Promise<{ status: string; code: ErrorCode | null }>;
  beginDetach(input: { attachmentId: string }): Promise<DetachStart>;
  /** True when the archive of a chain has stopped and released its source. Waits for it within minutes. */
  awaitArchiveStopped(input: { chainId: string }): Promise<{ stopped: boolean }>;
  finishDetach(input: { attachmentId: string }): Promise<void>;
  checkPolicy(input: { policyId: string }): Promise<{ ok: boolean; code: ErrorCode | null }>;
}
