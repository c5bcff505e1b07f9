import { z } from 'zod';
import { proofLevels, restoreStatuses } from '../statuses.js';
import {
  databaseNameSchema,
  hostSchema,
  idSchema,
  isPlainText,
  listOf,
  nameSchema,
  pageFields,
  portSchema,
  progressSchema,
  recordedErrorSchema,
  requestTime,
  secretText,
  timestamp,
  tlsSchema,
  usernameSchema,
} from './common.js';

const positionSchema = z.string().trim().min(1).max(4096).refine(isPlainText);
const pointFields = {
  time: requestTime.optional(),
  position: positionSchema.optional(),
  before: z.boolean().optional(),
};

/** `backup` and `pitr` work in this build; the others are known words of the contract and answered with 422 `not_supported`. */
export const restoreSourceSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('backup'),
      backupId: idSchema('backup'),
      databaseId: idSchema('database')
        .optional()
        .meta({ description: 'Which database of a full or incremental; default: the one it was asked for.' }),
    }),
    z.strictObject({ kind: z.literal('pitr'), databaseId: idSchema('database'), ...pointFields }),
    z.strictObject({ kind: z.literal('restore_point'), restorePointId: z.string().max(64).refine(isPlainText) }),
    z.strictObject({
      kind: z.literal('stream'),
      planId: idSchema('plan'),
      ...pointFields,
      tables: z.array(z.string().max(256).refine(isPlainText)).max(1000).optional(),
    }),
  ])
  .superRefine((value, context) => {
    if (value.kind !== 'pitr' && value.kind !== 'stream') return;
    const refuse = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message });
    if (value.time !== undefined && value.position !== undefined) {
      refuse('position', 'must be absent when time is given');
    }
    if (value.before !== undefined && value.time === undefined && value.position === undefined) {
      refuse('before', 'needs a time or a position');
    }
  })
  .meta({
    id: 'RestoreSource',
    description:
      'What is restored: a backup, or a database at a time or position (LSN or GTID); without either, the latest point.',
  });
export type RestoreSource = z.infer<typeof restoreSourceSchema>;

export const restoreTargetRequestSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('original') }),
    z.strictObject({
      kind: z.literal('server'),
      databaseId: idSchema('database')
        .optional()
        .meta({ description: 'A registered database whose server and credentials are used.' }),
      host: hostSchema.optional(),
      port: portSchema.optional(),
      username: usernameSchema.optional(),
      password: secretText(
        1024,
        'Password on the target server; kept sealed only while the restore needs it.',
      ).optional(),
      tls: tlsSchema.nullable().optional(),
      database: databaseNameSchema
        .optional()
        .meta({ description: 'Name to restore under; default: that of `databaseId`, else that of the source.' }),
      path: z.string().max(1024).refine(isPlainText).optional(),
    }),
    z.strictObject({
      kind: z.literal('new_preview'),
      name: nameSchema.optional(),
      ttlHours: z.int().min(1).max(8760).optional(),
    }),
    z.strictObject({ kind: z.literal('preview'), previewId: z.string().max(64).refine(isPlainText) }),
  ])
  .superRefine((value, context) => {
    if (value.kind !== 'server') return;
    const connection = ['host', 'port', 'username', 'password', 'tls'] as const;
    if (value.databaseId !== undefined) {
      for (const field of connection) {
        if (value[field] !== undefined) {
          context.addIssue({ code: 'custom', path: [field], message: 'must be absent when databaseId is given' });
        }
      }
      return;
    }
    for (const field of ['host', 'username', 'password'] as const) {
      if (value[field] === undefined) {
        context.addIssue({ code: 'custom', path: [field], message: 'is required unless databaseId is given' });
      }
    }
  })
  .meta({
    id: 'RestoreTargetRequest',
    description: 'Where it goes: over the original, or to a registered or named server.',
  });
export type RestoreTargetRequest = z.infer<typeof restoreTargetRequestSchema>;

export const createRestoreSchema = z
  .strictObject({
    source: restoreSourceSchema,
    target: restoreTargetRequestSchema.optional(),
    overwrite: z
      .boolean()
      .default(false)
      .meta({ description: 'Replace what is there; the former content is kept beside it.' }),
    confirmOverwrite: z.boolean().default(false).meta({ description: 'Needed for the original database.' }),
    keepPreviousHours: z
      .int()
      .min(0)
      .max(8760)
      .default(24)
      .meta({ description: 'How long the former content stays revertible.' }),
  })
  .meta({
    id: 'CreateRestore',
    description: 'Puts a source into a target.',
    // The harmless one: what the explorer would make up by itself restores over the original.
    example: {
      source: { kind: 'backup', backupId: 'bkp_0123456789abcdef' },
      target: { kind: 'server', databaseId: 'db_0123456789abcdef', database: 'shop_restored' },
    },
  });
export type CreateRestore = z.infer<typeof createRestoreSchema>;

export const listRestoresQuery = z.strictObject({
  backupId: idSchema('backup').optional(),
  databaseId: idSchema('database').optional(),
  planId: idSchema('plan').optional(),
  policyId: idSchema('policy').optional(),
  status: z.enum(restoreStatuses).optional(),
  from: requestTime.optional(),
  to: requestTime.optional(),
  ...pageFields,
});
export type ListRestoresQuery = z.infer<typeof listRestoresQuery>;

/** The target as it was resolved; never with a password. */
export const restoreTargetSchema = z
  .object({
    kind: z.enum(['original', 'server']),
    databaseId: z.string().nullable(),
    host: z.string(),
    port: z.int(),
    username: z.string(),
    database: z.string(),
  })
  .meta({ id: 'RestoreTarget', description: 'Where it goes, resolved.' });
export type RestoreTarget = z.infer<typeof restoreTargetSchema>;

/** What a reader of a restore must know beside its result. `code`: stable snake_case. */
export const restoreNotesSchema = z.array(z.object({ code: z.string(), message: z.string() }));
export type RestoreNote = z.infer<typeof restoreNotesSchema>[number];

export const restoreSchema = z
  .object({
    id: idSchema('restore'),
    status: z.enum(restoreStatuses),
    source: restoreSourceSchema,
    target: restoreTargetSchema,
    backupId: z.string(),
    databaseId: z.string(),
    planId: z.string().nullable(),
    policyId: z.string().nullable(),
    overwrite: z.boolean(),
    keepPreviousHours: z.int(),
    triggeredBy: z.string(),
    way: z.enum(['staged', 'direct']).nullable().meta({
      description: '`direct` where the role may not create databases: into an empty target, without staging.',
    }),
    progress: progressSchema.nullable(),
    proof: z.enum(proofLevels).nullable(),
    comparison: z
      .object({
        equal: z.boolean(),
        tables: z.number().nullable(),
        rows: z.string().nullable(),
        differences: z.array(z.unknown()),
      })
      .nullable()
      .meta({ description: 'Fingerprint of the backup against that of the restored database.' }),
    previousName: z.string().nullable().meta({ description: 'Name under which the former content is kept.' }),
    previousUntil: timestamp.nullable(),
    previousDroppedAt: timestamp.nullable(),
    revertible: z.boolean().meta({ description: 'True while POST /revert can put the former content back.' }),
    revertedAt: timestamp.nullable(),
    revertError: recordedErrorSchema.nullable(),
    shutOutSeconds: z.number().nullable().meta({ description: 'How long applications were shut out, as measured.' }),
    lastApplied: z.unknown().nullable(),
    firstRefused: z.unknown().nullable(),
    notes: restoreNotesSchema.meta({
      description: 'What must be known beside the result: what was passed over or laid elsewhere.',
    }),
    cancelRequestedAt: timestamp.nullable(),
    createdAt: timestamp,
    startedAt: timestamp.nullable(),
    completedAt: timestamp.nullable(),
    error: recordedErrorSchema.nullable(),
  })
  .meta({ id: 'Restore', description: 'One attempt to put a source into a target.' });
export type RestoreResource = z.infer<typeof restoreSchema>;
export const restoreListSchema = listOf(restoreSchema, 'RestoreList');
