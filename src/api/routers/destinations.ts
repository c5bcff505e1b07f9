import { checkResultSchema } from '../../domain/schemas/checks.js';
import {
  createDestinationSchema,
  destinationListSchema,
  destinationSchema,
  listDestinationsQuery,
  updateDestinationSchema,
} from '../../domain/schemas/destinations.js';
import { checkDestination, takeOverDestination } from '../../usecases/check-destination.js';
import { createDestination } from '../../usecases/create-destination.js';
import { deleteDestination } from '../../usecases/delete-destination.js';
import { getDestination } from '../../usecases/get-destination.js';
import { listDestinations } from '../../usecases/list-destinations.js';
import { updateDestination } from '../../usecases/update-destination.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

/** `/v1/destinations`. */
export const destinationRoutes: Route[] = [
  defineRoute({
    method: 'post',
    path: '/v1/destinations',
    operationId: 'createDestination',
    tag: 'Destinations',
    summary: 'Register a destination',
    description: 'Stores it and starts a first check. Directories are for admins and lie under configured roots.',
    scope: 'operate',
    body: createDestinationSchema,
    status: 201,
    answer: destinationSchema,
    errors: ['host_not_allowed', 'path_not_allowed'],
    replay: (context, principal, id) => getDestination(context, principal, { destinationId: id }),
    handle: ({ context, principal, body }) => createDestination(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/destinations',
    operationId: 'listDestinations',
    tag: 'Destinations',
    summary: 'List destinations',
    scope: 'read',
    query: listDestinationsQuery,
    status: 200,
    answer: destinationListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listDestinations(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/destinations/{id}',
    operationId: 'getDestination',
    tag: 'Destinations',
    summary: 'Read a destination',
    scope: 'read',
    params: { id: 'destination' },
    status: 200,
    answer: destinationSchema,
    handle: ({ context, principal, params }) => getDestination(context, principal, { destinationId: idOf(params) }),
  }),
  defineRoute({
    method: 'patch',
    path: '/v1/destinations/{id}',
    operationId: 'updateDestination',
    tag: 'Destinations',
    summary: 'Change a destination',
    scope: 'operate',
    params: { id: 'destination' },
    body: updateDestinationSchema,
    status: 200,
    answer: destinationSchema,
    errors: ['host_not_allowed', 'path_not_allowed', 'still_referenced', 'conflict'],
    handle: ({ context, principal, params, body }) =>
      updateDestination(context, principal, { destinationId: idOf(params), changes: body }),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/destinations/{id}',
    operationId: 'deleteDestination',
    tag: 'Destinations',
    summary: 'Forget a destination',
    description: 'What is stored there stays; `tidemark extract` reads it with the key.',
    scope: 'operate',
    params: { id: 'destination' },
    status: 204,
    errors: ['still_referenced'],
    handle: ({ context, principal, params }) => deleteDestination(context, principal, { destinationId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/destinations/{id}/check',
    operationId: 'checkDestination',
    tag: 'Destinations',
    summary: 'Check a destination',
    description: 'Puts, gets, lists and deletes a small object from a worker, within 30 s.',
    scope: 'operate',
    params: { id: 'destination' },
    status: 200,
    answer: checkResultSchema,
    handle: ({ context, principal, params }) => checkDestination(context, principal, { destinationId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/destinations/{id}/take-over',
    operationId: 'takeOverDestination',
    tag: 'Destinations',
    summary: 'Become the installation that writes there',
    description:
      'For a destination that another installation owns, which must not write there any more. What it wrote stays. Admins only.',
    scope: 'admin',
    params: { id: 'destination' },
    status: 200,
    answer: checkResultSchema,
    handle: ({ context, principal, params }) =>
      takeOverDestination(context, principal, { destinationId: idOf(params) }),
  }),
];
