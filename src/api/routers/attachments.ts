import { pageQuery } from '../../domain/schemas/common.js';
import { attachmentListSchema, attachmentSchema, createAttachmentSchema } from '../../domain/schemas/policies.js';
import { attachDatabase } from '../../usecases/attach-database.js';
import type { Principal, UsecaseContext } from '../../usecases/context.js';
import { detachDatabase } from '../../usecases/detach-database.js';
import { getAttachment, getAttachmentById } from '../../usecases/get-attachment.js';
import { listAttachments } from '../../usecases/list-attachments.js';
import { retryPitr } from '../../usecases/retry-pitr.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

const tag = 'Policies';
const params = { id: 'policy', databaseId: 'database' } as const;

const replay = (context: UsecaseContext, principal: Principal, id: string) =>
  getAttachmentById(context, principal, { attachmentId: id });

/** Both ids of `/v1/policies/{id}/attachments/{databaseId}`. */
function both(given: Readonly<Record<string, string>>): { policyId: string; databaseId: string } {
  return { policyId: idOf(given), databaseId: given.databaseId ?? '' };
}

/** `/v1/policies/{id}/attachments`. */
export const attachmentRoutes: Route[] = [
  defineRoute({
    method: 'get',
    path: '/v1/policies/{id}/attachments',
    operationId: 'listAttachments',
    tag,
    summary: 'The databases under a policy',
    scope: 'read',
    params: { id: 'policy' },
    query: pageQuery,
    status: 200,
    answer: attachmentListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, params: given, query }) =>
      listAttachments(context, principal, { policyId: idOf(given), query }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/attachments',
    operationId: 'attachDatabase',
    tag,
    summary: 'Put a database under a policy',
    description:
      'Inspects the server, configures its log, takes the first full and opens it once in a sandbox. What would be left out of recovery ' +
      'has to be accepted by its name. One in `error` is tried again by the same request.',
    scope: 'operate',
    params: { id: 'policy' },
    body: createAttachmentSchema,
    status: 202,
    answer: attachmentSchema,
    errors: ['policy_not_active', 'already_attached', 'conflict', 'not_supported'],
    replay,
    handle: ({ context, principal, params: given, body }) =>
      attachDatabase(context, principal, { policyId: idOf(given), ...body }),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/policies/{id}/attachments/{databaseId}',
    operationId: 'getAttachment',
    tag,
    summary: 'Read how a database is protected by a policy',
    scope: 'read',
    params,
    status: 200,
    answer: attachmentSchema,
    handle: ({ context, principal, params: given }) => getAttachment(context, principal, both(given)),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/policies/{id}/attachments/{databaseId}',
    operationId: 'detachDatabase',
    tag,
    summary: 'Take a database out of a policy',
    description: 'Everything stored stays. 202 while what was made on the server is being removed.',
    scope: 'operate',
    params,
    status: 202,
    answer: attachmentSchema,
    handle: ({ context, principal, params: given }) => detachDatabase(context, principal, both(given)),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/attachments/{databaseId}/retry-pitr',
    operationId: 'retryPitr',
    tag,
    summary: 'Configure PITR of a database again',
    scope: 'operate',
    params,
    status: 202,
    answer: attachmentSchema,
    errors: ['conflict'],
    replay,
    handle: ({ context, principal, params: given }) => retryPitr(context, principal, both(given)),
  }),
];
