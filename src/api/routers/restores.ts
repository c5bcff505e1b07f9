import {
  createRestoreSchema,
  listRestoresQuery,
  restoreListSchema,
  restoreSchema,
} from '../../domain/schemas/restores.js';
import { cancelRestore } from '../../usecases/cancel-restore.js';
import type { Principal, UsecaseContext } from '../../usecases/context.js';
import { getRestore } from '../../usecases/get-restore.js';
import { listRestores } from '../../usecases/list-restores.js';
import { requestRestore } from '../../usecases/request-restore.js';
import { revertRestore } from '../../usecases/revert-restore.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

const replay = (context: UsecaseContext, principal: Principal, id: string) =>
  getRestore(context, principal, { restoreId: id });

/** `/v1/restores`. */
export const restoreRoutes: Route[] = [
  defineRoute({
    method: 'post',
    path: '/v1/restores',
    operationId: 'createRestore',
    tag: 'Restores',
    summary: 'Restore a backup or a point in time',
    description:
      'Builds the restored database beside its target, compares it with the fingerprint of the backup, then puts it in place. ' +
      'What was there before is kept for `keepPreviousHours` and can be put back by one call.',
    scope: 'operate',
    body: createRestoreSchema,
    status: 202,
    answer: restoreSchema,
    errors: [
      'backup_not_restorable',
      'outside_window',
      'target_required',
      'confirmation_required',
      'run_in_progress',
      'not_found',
      'not_supported',
      'host_not_allowed',
      'destination_disabled',
      'destination_deleted',
    ],
    replay,
    handle: ({ context, principal, body }) => requestRestore(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/restores',
    operationId: 'listRestores',
    tag: 'Restores',
    summary: 'List restores',
    scope: 'read',
    query: listRestoresQuery,
    status: 200,
    answer: restoreListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listRestores(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/restores/{id}',
    operationId: 'getRestore',
    tag: 'Restores',
    summary: 'Read a restore',
    scope: 'read',
    params: { id: 'restore' },
    status: 200,
    answer: restoreSchema,
    handle: ({ context, principal, params }) => getRestore(context, principal, { restoreId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/restores/{id}/cancel',
    operationId: 'cancelRestore',
    tag: 'Restores',
    summary: 'Cancel a restore',
    scope: 'operate',
    params: { id: 'restore' },
    status: 202,
    answer: restoreSchema,
    errors: ['conflict'],
    replay,
    handle: ({ context, principal, params }) => cancelRestore(context, principal, { restoreId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/restores/{id}/revert',
    operationId: 'revertRestore',
    tag: 'Restores',
    summary: 'Put the former content back',
    scope: 'operate',
    params: { id: 'restore' },
    status: 202,
    answer: restoreSchema,
    errors: ['previous_gone', 'conflict', 'run_in_progress'],
    replay,
    handle: ({ context, principal, params }) => revertRestore(context, principal, { restoreId: idOf(params) }),
  }),
];
