import { z } from 'zod';
import type { AttachmentRow } from '../../catalog/attachments.js';
import type { NotificationRow } from '../../catalog/notifications.js';
import type { PolicyRow } from '../../catalog/policies.js';
import type { NotificationResource } from '../../domain/schemas/notifications.js';
import { notificationSchema } from '../../domain/schemas/notifications.js';
import type { AttachmentResource, PolicyResource } from '../../domain/schemas/policies.js';
import { attachmentSchema, readPolicyRetention } from '../../domain/schemas/policies.js';
import { pausedByReasons, policyStatuses } from '../../domain/statuses.js';
import { nextChainRuns, readPolicySchedule } from '../schedules/chain-schedules.js';
import { errorColumn, findingsColumn, presentArchive } from './present-database.js';
import { timeText } from './times.js';

const statusColumn = z.enum(policyStatuses);
const pausedByColumn = z.enum(pausedByReasons).nullable().catch(null);
const acceptedColumn = z.array(z.string()).catch([]);
const { status: attachmentStatus, pitrStatus } = attachmentSchema.shape;
const notificationBody = z.object({ what: z.string(), why: z.string(), nextStep: z.string() });

export function presentPolicy(row: PolicyRow): PolicyResource {
  const schedule = readPolicySchedule(row.schedule);
  const paused = row.status === 'paused';
  const now = new Date();
  const runs = (kind: 'full' | 'incremental') =>
    paused ? [] : nextChainRuns(schedule, kind, now).map((run) => run.toISOString());
  const failing = [...row.attachments].sort((a, b) => b.consecutiveFailures - a.consecutiveFailures)[0];
  const { full, incremental } = schedule;
  return {
    id: row.id,
    name: row.name,
    ownerId: row.ownerId,
    destinationId: row.destinationId,
    schedule: { full: { ...full }, incremental },
    pitr: row.pitr,
    retention: readPolicyRetention(row.retention),
    encryption: row.encryption,
    status: statusColumn.parse(row.status),
    pausedBy: pausedByColumn.parse(row.pausedBy),
    consecutiveFailures: failing?.consecutiveFailures ?? 0,
    // What is wrong with the policy itself comes before what is wrong with one of its databases.
    lastError: errorColumn.parse(row.lastError) ?? errorColumn.parse(failing?.lastError ?? null),
    credentialsVerifiedAt: timeText(row.credentialsVerifiedAt),
    attachments: row.attachments.length,
    nextRuns: { full: runs('full'), incremental: runs('incremental') },
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

export function presentAttachment(row: AttachmentRow): AttachmentResource {
  return {
    id: row.id,
    policyId: row.policyId,
    databaseId: row.databaseId,
    serverId: row.chain?.serverId ?? null,
    status: attachmentStatus.parse(row.status),
    pitrStatus: pitrStatus.parse(row.pitrStatus),
    pitrError: errorColumn.parse(row.pitrError),
    archive: row.chain === null ? null : presentArchive(row.chain),
    accepted: acceptedColumn.parse(row.accepted),
    findings: findingsColumn.parse(row.findings),
    sandboxProvenAt: timeText(row.sandboxProvenAt),
    lastFullAt: timeText(row.lastFullAt),
    lastIncrementalAt: timeText(row.lastIncrementalAt),
    consecutiveFailures: row.consecutiveFailures,
    lastError: errorColumn.parse(row.lastError),
    createdAt: row.createdAt.toISOString(),
    detachedAt: timeText(row.detachedAt),
  };
}

export function presentNotification(row: NotificationRow): NotificationResource {
  const { event, status } = notificationSchema.shape;
  return {
    id: row.id,
    event: event.parse(row.event),
    recipient: row.recipient,
    subject: row.subject,
    ...notificationBody.catch({ what: row.subject, why: '', nextStep: '' }).parse(row.body),
    policyId: row.policyId,
    databaseId: row.databaseId,
    backupId: row.backupId,
    status: status.parse(row.status),
    attempts: row.attempts,
    lastError: errorColumn.parse(row.lastError),
    createdAt: row.createdAt.toISOString(),
    sentAt: timeText(row.sentAt),
  };
}
