import { listNotificationsQuery, notificationListSchema } from '../../domain/schemas/notifications.js';
import { listNotifications } from '../../usecases/list-notifications.js';
import type { Route } from '../route.js';
import { defineRoute } from '../route.js';

/** `/v1/notifications`. */
export const notificationRoutes: Route[] = [
  defineRoute({
    method: 'get',
    path: '/v1/notifications',
    operationId: 'listNotifications',
    tag: 'Notifications',
    summary: 'What somebody was to be told of, and whether the mail left',
    scope: 'read',
    query: listNotificationsQuery,
    status: 200,
    answer: notificationListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listNotifications(context, principal, query),
  }),
];
