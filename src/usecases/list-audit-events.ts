import { findAuditEvents } from '../catalog/audit-events.js';
import type { AuditEventResource, ListAuditEventsQuery } from '../domain/schemas/accounts.js';
import type { Page } from '../domain/schemas/common.js';
import type { Principal, UsecaseContext } from './context.js';

/** Who changed what. Users see what they did themselves, admins see all. */
export async function listAuditEvents(
  context: UsecaseContext,
  principal: Principal,
  query: ListAuditEventsQuery,
): Promise<Page<AuditEventResource>> {
  const { rows, nextCursor } = await findAuditEvents(context.catalog.prisma, principal, query);
  const items = rows.map((row) => ({
    id: row.id,
    at: row.at.toISOString(),
    userId: row.userId,
    tokenId: row.tokenId,
    action: row.action,
    objectId: row.objectId,
    requestId: row.requestId,
    details: isRecord(row.details) ? row.details : null,
  }));
  return { items, nextCursor };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
