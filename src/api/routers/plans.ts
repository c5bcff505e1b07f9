import { exportedKeySchema, rotatedKeySchema } from '../../domain/schemas/accounts.js';
import { pageQuery } from '../../domain/schemas/common.js';
import {
  createPlanSchema,
  listPlansQuery,
  planListSchema,
  planSchema,
  updatePlanSchema,
} from '../../domain/schemas/plans.js';
import { restoreListSchema } from '../../domain/schemas/restores.js';
import { createPlan } from '../../usecases/create-plan.js';
import { deletePlan } from '../../usecases/delete-plan.js';
import { exportPlanKey } from '../../usecases/export-plan-key.js';
import { getPlan } from '../../usecases/get-plan.js';
import { listPlans } from '../../usecases/list-plans.js';
import { listRestoresOfPlan } from '../../usecases/list-restores.js';
import { pausePlan } from '../../usecases/pause-plan.js';
import { resumePlan } from '../../usecases/resume-plan.js';
import { rotatePlanKey } from '../../usecases/rotate-plan-key.js';
import { updatePlan } from '../../usecases/update-plan.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

/** `/v1/plans`. */
export const planRoutes: Route[] = [
  defineRoute({
    method: 'post',
    path: '/v1/plans',
    operationId: 'createPlan',
    tag: 'Plans',
    summary: 'Make a plan',
    description: 'One database, one destination, one schedule. `realtime` is not part of this build.',
    scope: 'operate',
    body: createPlanSchema,
    status: 201,
    answer: planSchema,
    errors: ['not_supported', 'destination_disabled'],
    replay: (context, principal, id) => getPlan(context, principal, { planId: id }),
    handle: ({ context, principal, body }) => createPlan(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/plans',
    operationId: 'listPlans',
    tag: 'Plans',
    summary: 'List plans',
    scope: 'read',
    query: listPlansQuery,
    status: 200,
    answer: planListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listPlans(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/plans/{id}',
    operationId: 'getPlan',
    tag: 'Plans',
    summary: 'Read a plan with its next five runs',
    scope: 'read',
    params: { id: 'plan' },
    status: 200,
    answer: planSchema,
    handle: ({ context, principal, params }) => getPlan(context, principal, { planId: idOf(params) }),
  }),
  defineRoute({
    method: 'patch',
    path: '/v1/plans/{id}',
    operationId: 'updatePlan',
    tag: 'Plans',
    summary: 'Change a plan',
    scope: 'operate',
    params: { id: 'plan' },
    body: updatePlanSchema,
    status: 200,
    answer: planSchema,
    errors: ['conflict', 'not_supported', 'destination_disabled'],
    handle: ({ context, principal, params, body }) =>
      updatePlan(context, principal, { planId: idOf(params), changes: body }),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/plans/{id}',
    operationId: 'deletePlan',
    tag: 'Plans',
    summary: 'Delete a plan',
    description: 'Its backups stay and can be restored.',
    scope: 'operate',
    params: { id: 'plan' },
    status: 204,
    errors: ['run_in_progress', 'still_referenced'],
    handle: ({ context, principal, params }) => deletePlan(context, principal, { planId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/plans/{id}/pause',
    operationId: 'pausePlan',
    tag: 'Plans',
    summary: 'Stop the schedule of a plan',
    scope: 'operate',
    params: { id: 'plan' },
    status: 200,
    answer: planSchema,
    handle: ({ context, principal, params }) => pausePlan(context, principal, { planId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/plans/{id}/resume',
    operationId: 'resumePlan',
    tag: 'Plans',
    summary: 'Start the schedule of a plan again',
    scope: 'operate',
    params: { id: 'plan' },
    status: 200,
    answer: planSchema,
    handle: ({ context, principal, params }) => resumePlan(context, principal, { planId: idOf(params) }),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/plans/{id}/restores',
    operationId: 'listRestoresOfPlan',
    tag: 'Plans',
    summary: 'Restores from the backups of a plan',
    scope: 'read',
    params: { id: 'plan' },
    query: pageQuery,
    status: 200,
    answer: restoreListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, params, query }) =>
      listRestoresOfPlan(context, principal, { planId: idOf(params), query }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/plans/{id}/key/export',
    operationId: 'exportPlanKey',
    tag: 'Keys',
    summary: 'Export the key of a plan',
    description:
      'With this key and the destination, `tidemark extract` reads the backups without this installation. Admins only.',
    scope: 'admin',
    params: { id: 'plan' },
    status: 200,
    answer: exportedKeySchema,
    errors: ['key_missing'],
    handle: ({ context, principal, params }) => exportPlanKey(context, principal, { planId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/plans/{id}/key/rotate',
    operationId: 'rotatePlanKey',
    tag: 'Keys',
    summary: 'Use a new key for the next backups of a plan',
    description: 'Backups made before stay readable with their own key. Admins only.',
    scope: 'admin',
    params: { id: 'plan' },
    status: 200,
    answer: rotatedKeySchema,
    errors: ['key_missing'],
    handle: ({ context, principal, params }) => rotatePlanKey(context, principal, { planId: idOf(params) }),
  }),
];
