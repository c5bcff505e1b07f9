import { masterKeyConfirmationSchema } from '../../domain/schemas/accounts.js';
import { confirmMasterKey } from '../../usecases/confirm-master-key.js';
import type { Route } from '../route.js';
import { defineRoute } from '../route.js';

/** `/v1/master-key`: the key itself is never here; it is rotated on the machine (`tidemark keys`). */
export const masterKeyRoutes: Route[] = [
  defineRoute({
    method: 'post',
    path: '/v1/master-key/confirm',
    operationId: 'confirmMasterKey',
    tag: 'Keys',
    summary: 'Say that the master key is saved elsewhere',
    description:
      'Ends the reminder. Without the master key no backup can be read once this machine is gone. Admins only.',
    scope: 'admin',
    status: 200,
    answer: masterKeyConfirmationSchema,
    handle: ({ context, principal }) => confirmMasterKey(context, principal),
  }),
];
