import { auditEventListSchema, listAuditEventsQuery } from '../../domain/schemas/accounts.js';
import { listAuditEvents } from '../../usecases/list-audit-events.js';
import type { Route } from '../route.js';
import { defineRoute } from '../route.js';

/** `/v1/audit-events`. */
export const auditEventRoutes: Route[] = [
  defineRoute({
    method: 'get',
    path: '/v1/audit-events',
    operationId: 'listAuditEvents',
    tag: 'Audit',
    summary: 'Who changed what',
    description: 'Users see what they did themselves, admins see all.',
    scope: 'read',
    query: listAuditEventsQuery,
    status: 200,
    answer: auditEventListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listAuditEvents(context, principal, query),
  }),
];
