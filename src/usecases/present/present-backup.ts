import { z } from 'zod';
import type { BackupRow } from '../../catalog/backups.js';
import type { BackupResource } from '../../domain/schemas/backups.js';
import { backupSchema } from '../../domain/schemas/backups.js';
import { progressSchema } from '../../domain/schemas/common.js';
import { backupKinds, backupStatuses, backupTriggers, proofLevels } from '../../domain/statuses.js';
import { errorColumn } from './present-database.js';
import { numberOf, timeText } from './times.js';

const kindSchema = z.enum(backupKinds);
const statusSchema = z.enum(backupStatuses);
const triggerSchema = z.enum(backupTriggers);
export const proofColumn = z.enum(proofLevels).nullable().catch(null);
export const progressColumn = progressSchema.nullable().catch(null);
const contentColumn = backupSchema.shape.content.catch(null);

export function presentBackup(row: BackupRow): BackupResource {
  return {
    id: row.id,
    kind: kindSchema.parse(row.kind),
    status: statusSchema.parse(row.status),
    label: row.label,
    databaseId: row.databaseId,
    planId: row.planId,
    policyId: row.policyId,
    parentId: row.parentId,
    serverId: row.serverId,
    sourceDatabaseId: row.sourceDatabaseId,
    fellBack: errorColumn.parse(row.fellBack),
    destinationId: row.destinationId,
    trigger: triggerSchema.parse(row.trigger),
    scheduledFor: timeText(row.scheduledFor),
    requestedBy: row.requestedBy,
    blockedBy: row.blockedBy,
    encrypted: row.keyId !== null,
    bytes: numberOf(row.bytes),
    storedBytes: numberOf(row.storedBytes),
    progress: progressColumn.parse(row.progress),
    serverVersion: row.serverVersion,
    content: contentColumn.parse(row.content),
    fingerprintUnavailable: row.fingerprintUnavailable,
    proof: proofColumn.parse(row.proof),
    verifiedAt: timeText(row.verifiedAt),
    cancelRequestedAt: timeText(row.cancelRequestedAt),
    createdAt: row.createdAt.toISOString(),
    startedAt: timeText(row.startedAt),
    takenAt: timeText(row.takenAt),
    completedAt: timeText(row.completedAt),
    deleteRequestedAt: timeText(row.deleteRequestedAt),
    deleteError: errorColumn.parse(row.deleteError),
    error: errorColumn.parse(row.error),
  };
}
