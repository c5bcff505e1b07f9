import { findNotifications } from '../catalog/notifications.js';
import type { Page } from '../domain/schemas/common.js';
import type { ListNotificationsQuery, NotificationResource } from '../domain/schemas/notifications.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentNotification } from './present/present-policy.js';

/** Events that somebody was to be told of, newest first; a user sees their own. */
export async function listNotifications(
  context: UsecaseContext,
  principal: Principal,
  query: ListNotificationsQuery,
): Promise<Page<NotificationResource>> {
  const { rows, nextCursor } = await findNotifications(context.catalog.prisma, principal, query);
  return { items: rows.map(presentNotification), nextCursor };
}
