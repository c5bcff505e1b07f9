import {
  createdTokenSchema,
  createTokenSchema,
  createUserSchema,
  meSchema,
  tokenListSchema,
  tokenSchema,
  updateUserSchema,
  userListSchema,
  userSchema,
} from '../../domain/schemas/accounts.js';
import { pageQuery } from '../../domain/schemas/common.js';
import { createToken } from '../../usecases/auth/create-token.js';
import { createUser } from '../../usecases/auth/create-user.js';
import { deleteUser } from '../../usecases/auth/delete-user.js';
import { getMe } from '../../usecases/auth/get-me.js';
import { getToken } from '../../usecases/auth/get-token.js';
import { getUser } from '../../usecases/auth/get-user.js';
import { listTokens } from '../../usecases/auth/list-tokens.js';
import { listUsers } from '../../usecases/auth/list-users.js';
import { revokeToken } from '../../usecases/auth/revoke-token.js';
import { updateUser } from '../../usecases/auth/update-user.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

/** `/v1/me`, `/v1/tokens`, `/v1/users`. */
export const accountRoutes: Route[] = [
  defineRoute({
    method: 'get',
    path: '/v1/me',
    operationId: 'getMe',
    tag: 'Accounts',
    summary: 'Who the caller is',
    scope: 'read',
    status: 200,
    answer: meSchema,
    handle: ({ context, principal }) => getMe(context, principal),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/tokens',
    operationId: 'createToken',
    tag: 'Accounts',
    summary: 'Make a token for the caller',
    description: 'With at most the rights of the caller. The secret is in this answer only; a replay is without it.',
    scope: 'operate',
    body: createTokenSchema,
    status: 201,
    answer: createdTokenSchema,
    replay: getToken,
    handle: ({ context, principal, body }) => createToken(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/tokens',
    operationId: 'listTokens',
    tag: 'Accounts',
    summary: 'List tokens',
    description: "The caller's own; admins see all.",
    scope: 'read',
    query: pageQuery,
    status: 200,
    answer: tokenListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listTokens(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/tokens/{id}',
    operationId: 'getToken',
    tag: 'Accounts',
    summary: 'Read a token, without its secret',
    scope: 'read',
    params: { id: 'token' },
    status: 200,
    answer: tokenSchema,
    handle: ({ context, principal, params }) => getToken(context, principal, idOf(params)),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/tokens/{id}',
    operationId: 'revokeToken',
    tag: 'Accounts',
    summary: 'Revoke a token',
    description:
      'It ends at once and stays in the list. A token may always end itself; another one of the same user needs `operate` and at ' +
      "least its scope, another user's needs `admin`.",
    scope: 'read',
    params: { id: 'token' },
    status: 204,
    handle: ({ context, principal, params }) => revokeToken(context, principal, idOf(params)),
  }),
  defineRoute({
    method: 'post',
    path: '/v1/users',
    operationId: 'createUser',
    tag: 'Accounts',
    summary: 'Add a user',
    scope: 'admin',
    body: createUserSchema,
    status: 201,
    answer: userSchema,
    errors: ['conflict'],
    replay: getUser,
    handle: ({ context, principal, body }) => createUser(context, principal, body),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/users',
    operationId: 'listUsers',
    tag: 'Accounts',
    summary: 'List users',
    description: 'Everyone for admins, the caller alone for others.',
    scope: 'read',
    query: pageQuery,
    status: 200,
    answer: userListSchema,
    errors: ['invalid_cursor'],
    handle: ({ context, principal, query }) => listUsers(context, principal, query),
  }),
  defineRoute({
    method: 'get',
    path: '/v1/users/{id}',
    operationId: 'getUser',
    tag: 'Accounts',
    summary: 'Read a user',
    scope: 'read',
    params: { id: 'user' },
    status: 200,
    answer: userSchema,
    handle: ({ context, principal, params }) => getUser(context, principal, idOf(params)),
  }),
  defineRoute({
    method: 'patch',
    path: '/v1/users/{id}',
    operationId: 'updateUser',
    tag: 'Accounts',
    summary: 'Change the role or password of a user',
    description: 'A new password ends the sessions of the user.',
    scope: 'admin',
    params: { id: 'user' },
    body: updateUserSchema,
    status: 200,
    answer: userSchema,
    errors: ['conflict'],
    handle: ({ context, principal, params, body }) =>
      updateUser(context, principal, { id: idOf(params), change: body }),
  }),
  defineRoute({
    method: 'delete',
    path: '/v1/users/{id}',
    operationId: 'deleteUser',
    tag: 'Accounts',
    summary: 'Remove a user',
    description: 'Only one who owns nothing; tokens and sessions end with the user.',
    scope: 'admin',
    params: { id: 'user' },
    status: 204,
    errors: ['still_referenced', 'conflict'],
    handle: ({ context, principal, params }) => deleteUser(context, principal, idOf(params)),
  }),
];
