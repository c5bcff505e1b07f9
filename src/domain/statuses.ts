/** Closed sets of statuses and the transitions between them (design section 7). */

export const backupStatuses = ['pending', 'in_progress', 'completed', 'failed', 'cancelled', 'skipped'] as const;
export type BackupStatus = (typeof backupStatuses)[number];

export const backupKinds = ['dump', 'full', 'incremental', 'baseline'] as const;
export type BackupKind = (typeof backupKinds)[number];

export const restoreStatuses = ['pending', 'in_progress', 'completed', 'failed', 'cancelled'] as const;
export type RestoreStatus = (typeof restoreStatuses)[number];

export const planStatuses = ['active', 'paused'] as const;
export type PlanStatus = (typeof planStatuses)[number];

/** `daily`: the one daily schedule of a database, kept as a plan. */
export const planOrigins = ['user', 'daily'] as const;
export type PlanOrigin = (typeof planOrigins)[number];

export const policyStatuses = ['active', 'paused', 'error', 'validating'] as const;
export type PolicyStatus = (typeof policyStatuses)[number];

/** Only a pause by failures is taken back by a success. */
export const pausedByReasons = ['failures', 'user'] as const;
export type PausedBy = (typeof pausedByReasons)[number];

export const pitrStatuses = ['active', 'configuring', 'error', 'disabled'] as const;
export type PitrStatus = (typeof pitrStatuses)[number];

export const attachmentStatuses = ['configuring', 'active', 'error', 'detaching', 'detached'] as const;
export type AttachmentStatus = (typeof attachmentStatuses)[number];

/** `starting` until the receiver has delivered once; `error` with the reason while it is tried again; `stopped` after its slot was released. */
export const archiveStatuses = ['off', 'starting', 'following', 'error', 'stopped'] as const;
export type ArchiveStatus = (typeof archiveStatuses)[number];

/** What readers are told: also `stalled`, when nothing was heard for a while of what last said that it follows (`shownArchiveStatus`). */
export const shownArchiveStatuses = [...archiveStatuses, 'stalled'] as const;
export type ShownArchiveStatus = (typeof shownArchiveStatuses)[number];

/** A follower that lives says so this often, in milliseconds. */
export const ARCHIVE_SEEN_EVERY_MS = 10_000;
/** One that said nothing for this long is not taken to follow any more, in milliseconds. */
export const ARCHIVE_SILENT_MS = 45_000;

/**
 * The status of an archive at this moment. Whoever follows writes that it does, and nobody is left to take that back once every worker is
 * gone: so it is believed only for as long as it was said again. An error was seen, and stands with its reason until it is tried again.
 */
export function shownArchiveStatus(noted: ArchiveStatus, seenAt: Date | null, now: Date): ShownArchiveStatus {
  if (noted !== 'starting' && noted !== 'following') return noted;
  const silent = seenAt === null || now.getTime() - seenAt.getTime() > ARCHIVE_SILENT_MS;
  return silent ? 'stalled' : noted;
}

export const notificationStatuses = ['pending', 'sent', 'failed'] as const;
export type NotificationStatus = (typeof notificationStatuses)[number];

export const notificationEvents = [
  'backup_failed',
  'policy_paused',
  'policy_reactivated',
  'pitr_gap',
  'archive_stalled',
  'source_changed',
  'cleanup_pending',
  'retention_refused',
  'backup_damaged',
] as const;
export type NotificationEvent = (typeof notificationEvents)[number];

/** Failures in a row of one attachment that pause its policy. */
export const FAILURES_TO_PAUSE = 3;

/** How a backup was verified, weakest first. Never claim a higher one than was seen (design section 1). */
export const proofLevels = ['continuity', 'transport', 'source'] as const;
export type ProofLevel = (typeof proofLevels)[number];

export const tokenScopes = ['read', 'operate', 'admin'] as const;
export type TokenScope = (typeof tokenScopes)[number];

export const userRoles = ['admin', 'user'] as const;
export type UserRole = (typeof userRoles)[number];

/** What started a backup; a scheduled one may be skipped, a manual one is refused with 409 instead. */
export const backupTriggers = ['manual', 'schedule'] as const;
export type BackupTrigger = (typeof backupTriggers)[number];

const runTransitions: Record<BackupStatus, readonly BackupStatus[]> = {
  pending: ['in_progress', 'failed', 'cancelled', 'skipped'],
  in_progress: ['completed', 'failed', 'cancelled'],
  completed: [],
  // Only by finding that it had been published all the same (docs/decisions/0004).
  failed: ['completed'],
  cancelled: [],
  skipped: [],
};

/** True while the row claims its database: no second backup may start beside it. */
export function isActive(status: BackupStatus | RestoreStatus): boolean {
  return status === 'pending' || status === 'in_progress';
}

/** True when `to` may follow `from`; a settled row keeps its status, but for a failed one that turns out to be complete. */
export function canBecome(from: BackupStatus, to: BackupStatus): boolean {
  return runTransitions[from].includes(to);
}
