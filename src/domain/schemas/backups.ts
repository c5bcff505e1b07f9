import { z } from 'zod';
import { backupKinds, backupStatuses, backupTriggers, proofLevels } from '../statuses.js';
import {
  idSchema,
  isPlainText,
  listOf,
  pageFields,
  plainText,
  progressSchema,
  recordedErrorSchema,
  requestTime,
  timestamp,
} from './common.js';

const labelSchema = plainText(200, 'Free text shown in the history and found by its search.').meta({
  example: 'before migration 42',
});

/** `{planId}` runs a plan; `{databaseId}` backs up the server of an attached database. */
export const createBackupSchema = z
  .union([
    z.strictObject({ planId: idSchema('plan'), label: labelSchema.optional() }),
    z.strictObject({
      databaseId: idSchema('database'),
      kind: z.enum(['full', 'incremental']).optional().meta({ description: 'Default: full.' }),
      label: labelSchema.optional(),
    }),
  ])
  .meta({ id: 'CreateBackup', description: 'Takes a backup now: of a plan, or of a database attached to a policy.' });
export type CreateBackup = z.infer<typeof createBackupSchema>;

export const listBackupsQuery = z.strictObject({
  databaseId: idSchema('database').optional(),
  planId: idSchema('plan').optional(),
  policyId: idSchema('policy').optional(),
  kind: z.enum(backupKinds).optional(),
  status: z.enum(backupStatuses).optional(),
  from: requestTime.optional().meta({ description: 'Created at or after.' }),
  to: requestTime.optional().meta({ description: 'Created before.' }),
  q: z
    .string()
    .trim()
    .max(200)
    .refine(isPlainText)
    .optional()
    .meta({ description: 'Part of label, id, database name or plan name.' }),
  ...pageFields,
});
export type ListBackupsQuery = z.infer<typeof listBackupsQuery>;

export const backupSchema = z
  .object({
    id: idSchema('backup'),
    kind: z.enum(backupKinds),
    status: z.enum(backupStatuses),
    label: z.string().nullable(),
    databaseId: z.string(),
    planId: z.string().nullable(),
    policyId: z.string().nullable(),
    parentId: z.string().nullable(),
    serverId: z.string().nullable().meta({ description: 'The server that a full or incremental holds whole.' }),
    sourceDatabaseId: z
      .string()
      .nullable()
      .meta({ description: 'The database it was read through, when that is another one, such as a replica.' }),
    fellBack: recordedErrorSchema.nullable().meta({ description: 'Why a full was taken in place of an incremental.' }),
    destinationId: z.string(),
    trigger: z.enum(backupTriggers),
    scheduledFor: timestamp.nullable(),
    requestedBy: z.string().nullable(),
    blockedBy: z.string().nullable().meta({ description: 'The run in the way of a skipped backup.' }),
    encrypted: z.boolean(),
    bytes: z.number().nullable().meta({ description: "Bytes of the engine's own files." }),
    storedBytes: z.number().nullable().meta({ description: 'Bytes in the destination.' }),
    progress: progressSchema.nullable(),
    serverVersion: z.string().nullable(),
    content: z
      .object({ tables: z.number(), rows: z.string() })
      .nullable()
      .meta({ description: 'Tables and rows of the fingerprint.' }),
    fingerprintUnavailable: z
      .string()
      .nullable()
      .meta({ description: 'Why no fingerprint could be read, when none was.' }),
    proof: z.enum(proofLevels).nullable(),
    verifiedAt: timestamp.nullable(),
    cancelRequestedAt: timestamp.nullable(),
    createdAt: timestamp,
    startedAt: timestamp.nullable(),
    takenAt: timestamp.nullable().meta({ description: "The moment the backup shows, by the source's clock." }),
    completedAt: timestamp.nullable(),
    deleteRequestedAt: timestamp.nullable(),
    deleteError: recordedErrorSchema.nullable(),
    error: recordedErrorSchema.nullable(),
  })
  .meta({ id: 'Backup', description: 'One restorable artifact set, or why there is none.' });
/** The answer of a deletion. */
export const removedBackupSchema = backupSchema
  .extend({
    removes: z.array(z.string()).meta({
      description:
        'Backups that go with it because they need it. Log that no other backup needs goes with the next retention.',
    }),
  })
  .meta({ id: 'RemovedBackup', description: 'A backup whose objects are being removed, and what goes with it.' });
export type RemovedBackup = z.infer<typeof removedBackupSchema>;
export type BackupResource = z.infer<typeof backupSchema>;
export const backupListSchema = listOf(backupSchema, 'BackupList');

export const backupFileSchema = z
  .object({
    name: z.string().meta({ example: 'dump.pgc' }),
    role: z.enum(['dump', 'fingerprint', 'base', 'sidecar']),
    bytes: z.number(),
    storedBytes: z.number(),
    sha256: z.string(),
    tool: z.object({ name: z.string(), version: z.string() }).nullable(),
    objects: z.int(),
  })
  .meta({ id: 'BackupFile', description: 'One file of a backup, from its manifest.' });
export type BackupFile = z.infer<typeof backupFileSchema>;
export const backupFilesSchema = z
  .object({ location: z.string(), items: z.array(backupFileSchema) })
  .meta({ id: 'BackupFiles', description: 'The files of a backup and where they lie.' });
export type BackupFiles = z.infer<typeof backupFilesSchema>;

export const downloadQuery = z.strictObject({
  file: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)
    .optional()
    .meta({ description: 'Which file, when the backup has several; see `/files`.', example: 'dump.pgc' }),
});
export type DownloadQuery = z.infer<typeof downloadQuery>;
