import { z } from 'zod';
import { incrementalSteps, weekdays } from '../chain-schedule.js';
import { attachmentStatuses, pausedByReasons, pitrStatuses, policyStatuses } from '../statuses.js';
import { findingSchema } from './checks.js';
import { idSchema, isPlainText, listOf, nameSchema, pageFields, recordedErrorSchema, timestamp } from './common.js';
import { archiveStateSchema } from './databases.js';

const timeSchema = z
  .string()
  .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time of day such as 02:30')
  .meta({ description: 'Time of day in UTC, HH:MM.', example: '02:30' });

const daySchema = z
  .union([z.int().min(0).max(6), z.enum(weekdays)])
  .meta({ description: 'Day of the week in UTC: 0 (Sunday) to 6, or its English name.', example: 'sunday' });

const incrementalSchema = z
  .enum(incrementalSteps)
  .meta({ description: 'How often incrementals are taken between fulls, counted from the time of the full.' });

export const policyScheduleRequestSchema = z
  .strictObject({
    full: z.discriminatedUnion('frequency', [
      z.strictObject({ frequency: z.literal('daily'), time: timeSchema }),
      z.strictObject({ frequency: z.literal('weekly'), time: timeSchema, day: daySchema }),
    ]),
    incremental: incrementalSchema,
  })
  .meta({ id: 'PolicyScheduleRequest', description: 'When fulls and incrementals are taken, in UTC.' });
export type PolicyScheduleRequest = z.infer<typeof policyScheduleRequestSchema>;

/** As stored and answered: the day is a number. */
export const policyScheduleSchema = z
  .object({
    full: z.discriminatedUnion('frequency', [
      z.object({ frequency: z.literal('daily'), time: timeSchema }),
      z.object({
        frequency: z.literal('weekly'),
        time: timeSchema,
        day: z.int().min(0).max(6).meta({ description: '0 is Sunday.' }),
      }),
    ]),
    incremental: incrementalSchema,
  })
  .meta({ id: 'PolicySchedule', description: 'When fulls and incrementals are taken, in UTC.' });
export type PolicySchedule = z.infer<typeof policyScheduleSchema>;

const retentionFields = {
  fulls: z.int().min(1).max(1000).meta({ description: 'Newest fulls that are kept.', example: 7 }),
  incrementalDays: z.int().min(1).max(3650).meta({ description: 'Age in days at which incrementals go.', example: 30 }),
  pitrHours: z.int().min(1).max(87_600).meta({ description: 'Age in hours at which log goes.', example: 72 }),
};
export const defaultPolicyRetention = { fulls: 7, incrementalDays: 30, pitrHours: 72 } as const;

export const policyRetentionSchema = z.object(retentionFields).meta({
  id: 'PolicyRetention',
  description: 'What is kept for how long. The last restorable chain, and what a kept backup needs, always stay.',
});
export type PolicyRetention = z.infer<typeof policyRetentionSchema>;

/** The retention column as it was validated when the policy was written. */
export function readPolicyRetention(value: unknown): PolicyRetention {
  return policyRetentionSchema.catch({ ...defaultPolicyRetention }).parse(value);
}

const retentionRequestSchema = z.strictObject(retentionFields).partial().meta({
  id: 'PolicyRetentionRequest',
  description: 'Defaults: 7 fulls, 30 days, 72 hours. What is left out keeps its value.',
});

export const createPolicySchema = z
  .strictObject({
    name: nameSchema,
    ownerId: idSchema('user').optional().meta({ description: 'Another owner than the caller; admins only.' }),
    destinationId: idSchema('destination'),
    schedule: policyScheduleRequestSchema,
    pitr: z.boolean().meta({ description: 'Archive the log continuously, so that any second can be restored.' }),
    retention: retentionRequestSchema.optional(),
    encryption: z.boolean().default(true),
  })
  .meta({ id: 'CreatePolicy', description: 'Settings that many databases attach to.' });
export type CreatePolicy = z.infer<typeof createPolicySchema>;

export const updatePolicySchema = z
  .strictObject({
    name: nameSchema,
    destinationId: idSchema('destination'),
    schedule: policyScheduleRequestSchema,
    pitr: z.boolean(),
    retention: retentionRequestSchema,
    encryption: z.boolean(),
  })
  .partial()
  .refine((value) => Object.keys(value).length > 0, 'must change at least one field')
  .meta({
    id: 'UpdatePolicy',
    description: 'Fields to change. The destination is fixed once something of a chain lies there.',
  });
export type UpdatePolicy = z.infer<typeof updatePolicySchema>;

export const listPoliciesQuery = z.strictObject({
  destinationId: idSchema('destination').optional(),
  status: z.enum(policyStatuses).optional(),
  ...pageFields,
});
export type ListPoliciesQuery = z.infer<typeof listPoliciesQuery>;

export const policySchema = z
  .object({
    id: idSchema('policy'),
    name: z.string(),
    ownerId: z.string(),
    destinationId: z.string(),
    schedule: policyScheduleSchema,
    pitr: z.boolean(),
    retention: policyRetentionSchema,
    encryption: z.boolean(),
    status: z.enum(policyStatuses),
    pausedBy: z.enum(pausedByReasons).nullable(),
    consecutiveFailures: z.int().meta({ description: 'The highest count of its attachments.' }),
    lastError: recordedErrorSchema.nullable(),
    credentialsVerifiedAt: timestamp.nullable(),
    attachments: z.int().meta({ description: 'Databases attached now.' }),
    nextRuns: z
      .object({ full: z.array(timestamp), incremental: z.array(timestamp) })
      .meta({ description: 'The next five of each; empty while paused.' }),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'Policy', description: 'Settings that many databases attach to.' });
export type PolicyResource = z.infer<typeof policySchema>;
export const policyListSchema = listOf(policySchema, 'PolicyList');

export const createAttachmentSchema = z
  .strictObject({
    databaseId: idSchema('database'),
    accept: z
      .array(
        z
          .string()
          .max(64)
          .regex(/^[a-z][a-z0-9_]*$/, 'must be the code of a finding'),
      )
      .max(50)
      .refine((codes) => codes.every(isPlainText))
      .default([])
      .meta({ description: 'Codes of findings that leave something out of recovery, accepted by name.' }),
  })
  .meta({ id: 'CreateAttachment', description: 'Puts a database under a policy.' });
export type CreateAttachment = z.infer<typeof createAttachmentSchema>;

export const attachmentSchema = z
  .object({
    id: idSchema('attachment'),
    policyId: z.string(),
    databaseId: z.string(),
    serverId: z.string().nullable().meta({ description: 'The server whose chain serves it; known once inspected.' }),
    status: z.enum(attachmentStatuses),
    pitrStatus: z.enum(pitrStatuses),
    pitrError: recordedErrorSchema.nullable(),
    archive: archiveStateSchema.nullable().meta({ description: "Of its server's log; null until there is a chain." }),
    accepted: z.array(z.string()),
    findings: z.array(findingSchema).meta({ description: 'What the last inspection found, with statements to run.' }),
    sandboxProvenAt: timestamp.nullable().meta({ description: 'When a sandbox last opened a backup of this server.' }),
    lastFullAt: timestamp.nullable(),
    lastIncrementalAt: timestamp.nullable(),
    consecutiveFailures: z.int(),
    lastError: recordedErrorSchema.nullable(),
    createdAt: timestamp,
    detachedAt: timestamp.nullable(),
  })
  .meta({ id: 'Attachment', description: 'One database under one policy.' });
export type AttachmentResource = z.infer<typeof attachmentSchema>;
export const attachmentListSchema = listOf(attachmentSchema, 'AttachmentList');

export const dailyScheduleRequestSchema = z
  .strictObject({
    destinationId: idSchema('destination')
      .optional()
      .meta({ description: 'Default: the one it has, else the only one there is.' }),
    hour: z.int().min(0).max(23).meta({ description: 'Hour in UTC.', example: 2 }),
    minute: z.int().min(0).max(59).meta({ description: 'Minute.', example: 30 }),
    active: z.boolean(),
    retentionDays: z.int().min(1).max(365).meta({ description: 'Days for which backups are kept.', example: 30 }),
  })
  .meta({ id: 'DailyScheduleRequest', description: 'One backup a day, without a policy.' });
export type DailyScheduleRequest = z.infer<typeof dailyScheduleRequestSchema>;

export const dailyScheduleSchema = z
  .object({
    databaseId: z.string(),
    planId: z.string().meta({ description: 'The plan that it is kept as; its backups carry this id.' }),
    destinationId: z.string(),
    hour: z.int(),
    minute: z.int(),
    active: z.boolean(),
    retentionDays: z.int(),
    nextRunAt: timestamp.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'DailySchedule', description: 'One backup a day, without a policy.' });
export type DailySchedule = z.infer<typeof dailyScheduleSchema>;

const windowFields = { from: timestamp.nullable(), to: timestamp.nullable() };
export const recoveryWindowSchema = z
  .object({
    ...windowFields,
    runs: z
      .array(z.object({ from: timestamp, to: timestamp }))
      .meta({ description: 'Every stretch without a gap, oldest first; `from` and `to` are those of the newest.' }),
    archive: archiveStateSchema
      .nullable()
      .meta({ description: 'Whether `to` moves on; null for a database that was never under a policy.' }),
  })
  .meta({
    id: 'RecoveryWindow',
    description: 'To which moments the database can be restored, from what is stored; nulls when to none.',
  });
export type RecoveryWindowResource = z.infer<typeof recoveryWindowSchema>;
