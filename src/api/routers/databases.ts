import { checkResultSchema } from '../../domain/schemas/checks.js';
import { pageQuery } from '../../domain/schemas/common.js';
import {
  createDatabaseSchema,
  databaseListSchema,
  databaseSchema,
  listDatabasesQuery,
  serverListSchema,
  serverSchema,
  updateDatabaseSchema,
} from '../../domain/schemas/databases.js';
import { checkDatabase } from '../../usecases/check-database.js';
import { createDatabase } from '../../usecases/create-database.js';
import { deleteDatabase } from '../../usecases/delete-database.js';
import { getDatabase } from '../../usecases/get-database.js';
import { getServer } from '../../usecases/get-server.js';
import { listDatabases } from '../../usecases/list-databases.js';
import { listServers } from '../../usecases/list-servers.js';
import { updateDatabase } from '../../usecases/update-database.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

/** `/v1/databases` and `/v1/servers`. */
export const databaseRoutes: Route[] = [
  defineRoute({
    method: 'post',
    path: '/v1/databases',
    operationId: 'createDatabase',
    tag: 'Databases',
    summary: 'Register a database',
    description: 'Stores it and starts a first check; the answer does not depend on whether the server can be reached.',
    scope: 'operate',
    body: createDatabaseSchema,
    status: 201,
    answer: databaseSchema,
    errors: ['host_not_allowed'],
    replay: (context, principal, id) => getDatabase(context, principal, { databaseId: id }),
    handle: ({ context, principal, body }) => createDatabase(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/databases',
    operationId: 'listDatabases',
    tag: 'Databases',
    summary: 'List databases',
    scope: 'read',
    query: listDatabasesQuery,
    status: 200,
    answer: databaseListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listDatabases(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/databases/{id}',
    operationId: 'getDatabase',
    tag: 'Databases',
    summary: 'Read a database',
    scope: 'read',
    params: { id: 'database' },
    status: 200,
    answer: databaseSchema,
    handle: ({ context, principal, params }) => getDatabase(context, principal, { databaseId: idOf(params) }),
  }),
  defineRoute({
    method: 'patch',
    path: '/v1/databases/{id}',
    operationId: 'updateDatabase',
    tag: 'Databases',
    summary: 'Change a database',
    description: 'A change of how it is reached starts a new check.',
    scope: 'operate',
    params: { id: 'database' },
    body: updateDatabaseSchema,
    status: 200,
    answer: databaseSchema,
    errors: ['host_not_allowed'],
    handle: ({ context, principal, params, body }) =>
      updateDatabase(context, principal, { databaseId: idOf(params), changes: body }),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/databases/{id}',
    operationId: 'deleteDatabase',
    tag: 'Databases',
    summary: 'Forget a database',
    description: 'Its backups stay in the history and can be restored elsewhere.',
    scope: 'operate',
    params: { id: 'database' },
    status: 204,
    errors: ['still_referenced'],
    handle: ({ context, principal, params }) => deleteDatabase(context, principal, { databaseId: idOf(params) }),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/databases/{id}/check',
    operationId: 'checkDatabase',
    tag: 'Databases',
    summary: 'Check a database',
    description: 'Looks at the server from a worker, within 30 s: identity, version, capabilities, missing privileges.',
    scope: 'operate',
    params: { id: 'database' },
    status: 200,
    answer: checkResultSchema,
    handle: ({ context, principal, params }) => checkDatabase(context, principal, { databaseId: idOf(params) }),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/servers',
    operationId: 'listServers',
    tag: 'Databases',
    summary: 'List the servers that checks have found',
    scope: 'read',
    query: pageQuery,
    status: 200,
    answer: serverListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listServers(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/servers/{id}',
    operationId: 'getServer',
    tag: 'Databases',
    summary: 'Read a server',
    scope: 'read',
    params: { id: 'server' },
    status: 200,
    answer: serverSchema,
    handle: ({ context, principal, params }) => getServer(context, principal, { serverId: idOf(params) }),
  }),
];
