import { z } from 'zod';
import type { RestoreRow } from '../../catalog/restores.js';
import type { RestoreResource } from '../../domain/schemas/restores.js';
import {
  restoreNotesSchema,
  restoreSchema,
  restoreSourceSchema,
  restoreTargetSchema,
} from '../../domain/schemas/restores.js';
import { restoreStatuses } from '../../domain/statuses.js';
import { progressColumn, proofColumn } from './present-backup.js';
import { errorColumn } from './present-database.js';
import { timeText } from './times.js';

const statusSchema = z.enum(restoreStatuses);
const wayColumn = z.enum(['staged', 'direct']).nullable().catch(null);
const notesColumn = restoreNotesSchema.catch([]);
const comparisonColumn = restoreSchema.shape.comparison.catch(null);

/** True while the former content of the target can be put back. */
export function isRevertible(row: RestoreRow): boolean {
  return (
    row.status === 'completed' &&
    row.activeKey === null &&
    row.previousName !== null &&
    row.previousDroppedAt === null &&
    row.revertedAt === null &&
    (row.previousUntil === null || row.previousUntil > new Date())
  );
}

export function presentRestore(row: RestoreRow): RestoreResource {
  return {
    id: row.id,
    status: statusSchema.parse(row.status),
    source: restoreSourceSchema.parse(row.source),
    target: restoreTargetSchema.parse(row.target),
    backupId: row.backupId,
    databaseId: row.databaseId,
    planId: row.planId,
    policyId: row.policyId,
    overwrite: row.overwrite,
    keepPreviousHours: row.keepPreviousHours,
    triggeredBy: row.triggeredBy,
    way: wayColumn.parse(row.way),
    progress: progressColumn.parse(row.progress),
    proof: proofColumn.parse(row.proof),
    comparison: comparisonColumn.parse(row.comparison),
    previousName: row.previousName,
    previousUntil: timeText(row.previousUntil),
    previousDroppedAt: timeText(row.previousDroppedAt),
    revertible: isRevertible(row),
    revertedAt: timeText(row.revertedAt),
    revertError: errorColumn.parse(row.revertError),
    shutOutSeconds: row.shutOutSeconds,
    lastApplied: row.lastApplied,
    firstRefused: row.firstRefused,
    notes: notesColumn.parse(row.notes),
    cancelRequestedAt: timeText(row.cancelRequestedAt),
    createdAt: row.createdAt.toISOString(),
    startedAt: timeText(row.startedAt),
    completedAt: timeText(row.completedAt),
    error: errorColumn.parse(row.error),
  };
}
