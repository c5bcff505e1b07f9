import { stringifySetCookie } from 'cookie';
import { createSessionSchema, sessionListSchema, sessionSchema } from '../../domain/schemas/accounts.js';
import { pageQuery } from '../../domain/schemas/common.js';
import { createSession, sessionLifetimeMs } from '../../usecases/auth/create-session.js';
import { deleteSession } from '../../usecases/auth/delete-session.js';
import { listSessions } from '../../usecases/auth/list-sessions.js';
import { sessionCookie } from '../authenticate.js';
import { requestIdOf } from '../request-id.js';
import type { Route } from '../route.js';
import { defineRoute, idOf } from '../route.js';

/** `/v1/sessions`: browsers. The secret is in an HttpOnly cookie and in no answer. */
export function sessionRoutes(options: { secureCookies: boolean }): Route[] {
  const cookie = (value: string, maxAgeSeconds: number) =>
    stringifySetCookie({
      name: sessionCookie,
      value,
      httpOnly: true,
      sameSite: 'strict',
      secure: options.secureCookies,
      path: '/',
      maxAge: maxAgeSeconds,
    });
  return [
    defineRoute({
      method: 'post',
      path: '/v1/sessions',
      operationId: 'createSession',
      tag: 'Accounts',
      summary: 'Sign a browser in',
      description: 'Sets the session cookie (HttpOnly, SameSite=Strict). Failed tries are limited strictly.',
      scope: null,
      body: createSessionSchema,
      status: 201,
      answer: sessionSchema,
      errors: ['unauthenticated'],
      strictLimitBy: 'email',
      handle: async ({ context, body, response }) => {
        const { session, secret } = await createSession(context, requestIdOf(response), body);
        response.append('Set-Cookie', cookie(secret, sessionLifetimeMs / 1000));
        return session;
      },
    }),
    defineRoute({
      method: 'get',
      path: '/v1/sessions',
      operationId: 'listSessions',
      tag: 'Accounts',
      summary: "The caller's own sessions",
      scope: 'read',
      query: pageQuery,
      status: 200,
      answer: sessionListSchema,
      errors: ['invalid_cursor'],
      handle: ({ context, principal, query }) => listSessions(context, principal, query),
    }),
    defineRoute({
      method: 'delete',
      path: '/v1/sessions/{id}',
      operationId: 'deleteSession',
      tag: 'Accounts',
      summary: 'Sign out',
      scope: 'operate',
      params: { id: 'session' },
      status: 204,
      handle: async ({ context, principal, params, response }) => {
        await deleteSession(context, principal, idOf(params));
        response.append('Set-Cookie', cookie('', 0));
      },
    }),
  ];
}
