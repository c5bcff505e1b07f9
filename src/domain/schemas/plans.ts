import { z } from 'zod';
import { planOrigins, planStatuses } from '../statuses.js';
import { idSchema, isPlainText, listOf, nameSchema, pageFields, timestamp } from './common.js';

const YEAR_SECONDS = 366 * 24 * 3600;

/** `realtime` is part of the contract but not of this build: the use case answers 422 `not_supported`, never an empty 200. */
export const scheduleSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('manual') }),
    z.strictObject({
      type: z.literal('interval'),
      everySeconds: z.int().min(60).max(YEAR_SECONDS).meta({ description: 'At least 60.', example: 3600 }),
    }),
    z.strictObject({
      type: z.literal('cron'),
      expression: z
        .string()
        .trim()
        .min(9)
        .max(200)
        .refine(isPlainText, 'must be one line')
        .meta({ description: 'Five fields: minute, hour, day of month, month, day of week.', example: '30 2 * * *' }),
      timezone: z
        .string()
        .max(64)
        .regex(/^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/, 'must be an IANA time zone')
        .default('UTC')
        .meta({ description: 'IANA time zone.', example: 'Europe/Berlin' }),
    }),
    z.strictObject({ type: z.literal('realtime') }),
  ])
  .meta({ id: 'Schedule', description: 'When backups are taken.' });
export type Schedule = z.infer<typeof scheduleSchema>;

export const retentionSchema = z
  .strictObject({
    count: z.int().min(1).max(10000).optional().meta({ description: 'Keep at most this many completed backups.' }),
    days: z.int().min(1).max(36500).optional().meta({ description: 'Keep completed backups for this many days.' }),
  })
  .meta({ id: 'Retention', description: 'What is removed when. The newest completed backup of a plan always stays.' });
export type Retention = z.infer<typeof retentionSchema>;

export const createPlanSchema = z
  .strictObject({
    name: nameSchema,
    databaseId: idSchema('database'),
    destinationId: idSchema('destination'),
    schedule: scheduleSchema,
    retention: retentionSchema.nullable().optional(),
    encryption: z.boolean().default(true),
  })
  .meta({ id: 'CreatePlan', description: 'One database, one destination, one schedule.' });
export type CreatePlan = z.infer<typeof createPlanSchema>;

export const updatePlanSchema = z
  .strictObject({
    name: nameSchema,
    destinationId: idSchema('destination'),
    schedule: scheduleSchema,
    retention: retentionSchema.nullable(),
    encryption: z.boolean(),
  })
  .partial()
  .refine((value) => Object.keys(value).length > 0, 'must change at least one field')
  .meta({ id: 'UpdatePlan', description: 'Fields to change; the database of a plan never changes.' });
export type UpdatePlan = z.infer<typeof updatePlanSchema>;

export const listPlansQuery = z.strictObject({
  databaseId: idSchema('database').optional(),
  destinationId: idSchema('destination').optional(),
  status: z.enum(planStatuses).optional(),
  ...pageFields,
});
export type ListPlansQuery = z.infer<typeof listPlansQuery>;

export const planSchema = z
  .object({
    id: idSchema('plan'),
    name: z.string(),
    databaseId: z.string(),
    destinationId: z.string(),
    schedule: scheduleSchema,
    retention: retentionSchema.nullable(),
    encryption: z.boolean(),
    origin: z.enum(planOrigins).meta({ description: '`daily`: the daily schedule of the database.' }),
    status: z.enum(planStatuses),
    ownerId: z.string(),
    nextRuns: z.array(timestamp).meta({ description: 'The next five runs; empty for manual and paused plans.' }),
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: 'Plan', description: 'One database, one destination, one schedule.' });
export type PlanResource = z.infer<typeof planSchema>;
export const planListSchema = listOf(planSchema, 'PlanList');

/** Which backups the retention of a plan would remove now. */
export const retentionPreviewSchema = z
  .object({
    keeps: z.array(z.string()).meta({ description: 'Ids of backups that stay.' }),
    removes: z.array(z.string()).meta({ description: 'Ids of backups that the next retention run removes.' }),
  })
  .meta({ id: 'RetentionPreview', description: 'What retention would do now.' });
export type RetentionPreview = z.infer<typeof retentionPreviewSchema>;
