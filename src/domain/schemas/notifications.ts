import { z } from 'zod';
import { notificationEvents, notificationStatuses } from '../statuses.js';
import { idSchema, listOf, pageFields, recordedErrorSchema, timestamp } from './common.js';

export const listNotificationsQuery = z.strictObject({
  event: z.enum(notificationEvents).optional(),
  status: z.enum(notificationStatuses).optional(),
  policyId: idSchema('policy').optional(),
  databaseId: idSchema('database').optional(),
  ...pageFields,
});
export type ListNotificationsQuery = z.infer<typeof listNotificationsQuery>;

export const notificationSchema = z
  .object({
    id: idSchema('notification'),
    event: z.enum(notificationEvents),
    recipient: z.string(),
    subject: z.string(),
    what: z.string(),
    why: z.string(),
    nextStep: z.string(),
    policyId: z.string().nullable(),
    databaseId: z.string().nullable(),
    backupId: z.string().nullable(),
    status: z.enum(notificationStatuses),
    attempts: z.int(),
    lastError: recordedErrorSchema.nullable(),
    createdAt: timestamp,
    sentAt: timestamp.nullable(),
  })
  .meta({ id: 'Notification', description: 'An event and the mail about it.' });
export type NotificationResource = z.infer<typeof notificationSchema>;
export const notificationListSchema = listOf(notificationSchema, 'NotificationList');
