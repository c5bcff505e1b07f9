import { exportedKeySchema, rotatedKeySchema } from '../../domain/schemas/accounts.js';
import { checkResultSchema } from '../../domain/schemas/checks.js';
import {
  createPolicySchema,
  listPoliciesQuery,
  policyListSchema,
  policySchema,
  updatePolicySchema,
} from '../../domain/schemas/policies.js';
import { policyRetentionPreviewSchema } from '../../domain/schemas/policy-retention.js';
import { applyPolicyRetention } from '../../usecases/apply-policy-retention.js';
import { checkPolicy } from '../../usecases/check-policy.js';
import { createPolicy } from '../../usecases/create-policy.js';
import { deletePolicy } from '../../usecases/delete-policy.js';
import { exportPolicyKey } from '../../usecases/export-policy-key.js';
import { getPolicy } from '../../usecases/get-policy.js';
import { listPolicies } from '../../usecases/list-policies.js';
import { pausePolicy } from '../../usecases/pause-policy.js';
import { previewPolicyRetention } from '../../usecases/preview-policy-retention.js';
import { resetFailures, resumePolicy } from '../../usecases/resume-policy.js';
import { rotatePolicyKey } from '../../usecases/rotate-policy-key.js';
import { updatePolicy } from '../../usecases/update-policy.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

const tag = 'Policies';

/** `/v1/policies`, without what is attached to them. */
export const policyRoutes: Route[] = [
  defineRoute({
    method: 'post',
    path: '/v1/policies',
    operationId: 'createPolicy',
    tag,
    summary: 'Make a policy',
    description:
      'Settings that many databases attach to. It is `validating` until a worker has proven its destination, then `active`.',
    scope: 'operate',
    body: createPolicySchema,
    status: 201,
    answer: policySchema,
    errors: ['not_found'],
    replay: (context, principal, id) => getPolicy(context, principal, { policyId: id }),
    handle: ({ context, principal, body }) => createPolicy(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/policies',
    operationId: 'listPolicies',
    tag,
    summary: 'List policies',
    scope: 'read',
    query: listPoliciesQuery,
    status: 200,
    answer: policyListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listPolicies(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/policies/{id}',
    operationId: 'getPolicy',
    tag,
    summary: 'Read a policy with its next runs',
    scope: 'read',
    params: { id: 'policy' },
    status: 200,
    answer: policySchema,
    handle: ({ context, principal, params }) => getPolicy(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'patch',
    path: '/v1/policies/{id}',
    operationId: 'updatePolicy',
    tag,
    summary: 'Change a policy',
    description: 'Takes effect on running schedules. Switching PITR configures or releases every attached server.',
    scope: 'operate',
    params: { id: 'policy' },
    body: updatePolicySchema,
    status: 200,
    answer: policySchema,
    errors: ['still_referenced'],
    handle: ({ context, principal, params, body }) =>
      updatePolicy(context, principal, { policyId: idOf(params), changes: body }),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/policies/{id}',
    operationId: 'deletePolicy',
    tag,
    summary: 'Delete a policy',
    description: 'What was stored under it stays. Refused while databases are attached.',
    scope: 'operate',
    params: { id: 'policy' },
    status: 204,
    errors: ['still_referenced'],
    handle: ({ context, principal, params }) => deletePolicy(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/check',
    operationId: 'checkPolicy',
    tag,
    summary: 'Check a policy',
    description: 'Proves destination and key from a worker, within 30 s.',
    scope: 'operate',
    params: { id: 'policy' },
    status: 200,
    answer: checkResultSchema,
    handle: ({ context, principal, params }) => checkPolicy(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/pause',
    operationId: 'pausePolicy',
    tag,
    summary: 'Stop the schedules of a policy',
    description: 'The log is followed on; only fulls, incrementals and retention wait.',
    scope: 'operate',
    params: { id: 'policy' },
    status: 200,
    answer: policySchema,
    handle: ({ context, principal, params }) => pausePolicy(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/resume',
    operationId: 'resumePolicy',
    tag,
    summary: 'Start the schedules of a policy again',
    scope: 'operate',
    params: { id: 'policy' },
    status: 200,
    answer: policySchema,
    handle: ({ context, principal, params }) => resumePolicy(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/reset-failures',
    operationId: 'resetFailures',
    tag,
    summary: 'Count the failures of a policy from zero',
    description: 'A pause that failures caused ends; a pause by a user stays.',
    scope: 'operate',
    params: { id: 'policy' },
    status: 200,
    answer: policySchema,
    handle: ({ context, principal, params }) => resetFailures(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/policies/{id}/retention-preview',
    operationId: 'previewPolicyRetention',
    tag,
    summary: 'See what retention would remove now, and why',
    scope: 'read',
    params: { id: 'policy' },
    status: 200,
    answer: policyRetentionPreviewSchema,
    handle: ({ context, principal, params }) => previewPolicyRetention(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/apply-retention',
    operationId: 'applyPolicyRetention',
    tag,
    summary: 'Remove now what retention no longer keeps',
    description:
      'As every day, without waiting for it. Answers what goes; `retention-preview` is empty once it is gone, or says what is in the way.',
    scope: 'operate',
    params: { id: 'policy' },
    status: 202,
    answer: policyRetentionPreviewSchema,
    handle: ({ context, principal, params }) => applyPolicyRetention(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/key/export',
    operationId: 'exportPolicyKey',
    tag: 'Keys',
    summary: 'Export the key of a policy',
    description:
      'With this key and the destination, `tidemark extract` reads what it stored without this installation. Admins only.',
    scope: 'admin',
    params: { id: 'policy' },
    status: 200,
    answer: exportedKeySchema,
    errors: ['key_missing'],
    handle: ({ context, principal, params }) => exportPolicyKey(context, principal, { policyId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/policies/{id}/key/rotate',
    operationId: 'rotatePolicyKey',
    tag: 'Keys',
    summary: 'Use a new key for what a policy stores next',
    description: 'What was stored before stays readable with its own key. Admins only.',
    scope: 'admin',
    params: { id: 'policy' },
    status: 200,
    answer: rotatedKeySchema,
    errors: ['key_missing'],
    handle: ({ context, principal, params }) => rotatePolicyKey(context, principal, { policyId: idOf(params) }),
  }),
];
