import type { Route } from '../route.js';
import { accountRoutes } from './accounts.js';
import { attachmentRoutes } from './attachments.js';
import { auditEventRoutes } from './audit-events.js';
import { backupRoutes } from './backups.js';
import { databaseProtectionRoutes } from './database-protection.js';
import { databaseRoutes } from './databases.js';
import { destinationRoutes } from './destinations.js';
import { masterKeyRoutes } from './master-key.js';
import { notificationRoutes } from './notifications.js';
import { planRoutes } from './plans.js';
import { policyRoutes } from './policies.js';
import { restoreRoutes } from './restores.js';
import { sessionRoutes } from './sessions.js';

/** Every route under `/v1`, in the order in which the docs show them. */
export function allRoutes(options: { secureCookies: boolean }): Route[] {
  return [
    ...databaseRoutes,
    ...databaseProtectionRoutes,
    ...destinationRoutes,
    ...planRoutes,
    ...policyRoutes,
    ...attachmentRoutes,
    ...backupRoutes,
    ...restoreRoutes,
    ...notificationRoutes,
    ...masterKeyRoutes,
    ...accountRoutes,
    ...sessionRoutes(options),
    ...auditEventRoutes,
  ];
}
