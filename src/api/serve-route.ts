import type { Request, Response } from 'express';
import { TidemarkError } from '../domain/errors.js';
import { idPattern } from '../domain/ids.js';
import { requireScope } from '../usecases/auth/scopes.js';
import type { Principal, UsecaseContext } from '../usecases/context.js';
import type { IdempotencyClaim } from '../usecases/requests/claim-idempotency-key.js';
import { claimIdempotencyKey } from '../usecases/requests/claim-idempotency-key.js';
import { settleIdempotencyKey } from '../usecases/requests/settle-idempotency-key.js';
import { authenticateRequest } from './authenticate.js';
import { invalidRequest } from './problems.js';
import type { RateLimitChecks } from './rate-limits.js';
import { checkText, parseBody, readBodyBytes } from './read-body.js';
import { requestIdOf } from './request-id.js';
import type { Route, RouteInput } from './route.js';
import { validatePart } from './validate.js';

export type ServingDeps = { readonly context: UsecaseContext; readonly limits: RateLimitChecks };

// Who calls a route without authentication: no use case behind one looks at it.
const nobody: Principal = { userId: '', role: 'user', scopes: [], tokenId: null, requestId: null };

/**
 * Carries out one request of one route. The order matters: who calls, may they, what do they send; so that nobody learns about the
 * checks of a body they may not send, and no body of an unknown caller is read.
 */
export async function serveRoute(deps: ServingDeps, route: Route, request: Request, response: Response): Promise<void> {
  const principal = await identify(deps, route, request, response);
  const params = readParams(route, request);
  const query = readQuery(route, request);
  const body = await readBody(route, request, response);
  if (route.strictLimitBy !== undefined) {
    const value = (body as Record<string, unknown>)[route.strictLimitBy];
    await deps.limits.checkSignIn(request, response, String(value));
  }
  const input = { context: deps.context, principal, params, query, body, request, response };
  const claim = await claimKey(deps.context, route, input);
  if (claim?.kind === 'replay') {
    const replayed = await route.replay?.(deps.context, principal, claim.resourceId);
    response.set('Idempotent-Replayed', 'true');
    send(route, response, claim.statusCode, replayed);
    return;
  }
  await carryOut(deps.context, route, input, claim?.id ?? null);
}

async function carryOut(
  context: UsecaseContext,
  route: Route,
  input: RouteInput<unknown, unknown>,
  claimId: string | null,
): Promise<void> {
  let answer: unknown;
  try {
    answer = await route.handle(input);
  } catch (error) {
    if (claimId !== null) await release(context, claimId);
    throw error;
  }
  if (claimId !== null) {
    const resourceId = idOf(answer);
    await settleIdempotencyKey(context, claimId, resourceId ? { resourceId, statusCode: route.status } : null);
  }
  // A stream has answered by itself.
  if (!input.response.headersSent) send(route, input.response, route.status, answer);
}

/** Freed at best: the refusal itself is what the caller has to learn, and an abandoned claim ends by itself. */
async function release(context: UsecaseContext, claimId: string): Promise<void> {
  try {
    await settleIdempotencyKey(context, claimId, null);
  } catch (error) {
    context.logger.warn({ err: error }, 'An idempotency key could not be freed');
  }
}

async function identify(deps: ServingDeps, route: Route, request: Request, response: Response): Promise<Principal> {
  const { scope } = route;
  if (scope === null) {
    await deps.limits.check(request, response);
    return nobody;
  }
  let principal: Principal;
  try {
    principal = await authenticateRequest(deps.context, request, requestIdOf(response));
  } catch (error) {
    await deps.limits.check(request, response);
    throw error;
  }
  response.locals.principal = principal;
  await deps.limits.check(request, response);
  requireScope(principal, scope);
  return principal;
}

function readParams(route: Route, request: Request): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [name, kind] of Object.entries(route.params ?? {})) {
    const value = String(request.params[name]);
    // What is no id is no object either; the value itself is not repeated, it can be anything.
    if (!idPattern(kind).test(value)) throw new TidemarkError('not_found', `There is no such ${kind}.`);
    params[name] = value;
  }
  return params;
}

function readQuery(route: Route, request: Request): unknown {
  const given = request.query;
  checkText(given, '');
  if (route.query) return validatePart('query', route.query, given);
  const [first] = Object.keys(given);
  if (first !== undefined) {
    throw invalidRequest([{ field: first.slice(0, 64), message: 'is not a known query field' }]);
  }
  return undefined;
}

async function readBody(route: Route, request: Request, response: Response): Promise<unknown> {
  if (route.method === 'get') return undefined;
  await new Promise<void>((resolve, reject) => {
    readBodyBytes(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
  });
  const value = parseBody(request);
  if (route.body) return validatePart('body', route.body, value);
  // `{}` is what some clients send for "no body".
  const empty = typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;
  if (value !== undefined && !empty) {
    throw invalidRequest([{ field: '/', message: 'must be absent: this request takes no body' }]);
  }
  return undefined;
}

async function claimKey(
  context: UsecaseContext,
  route: Route,
  input: RouteInput<unknown, unknown>,
): Promise<IdempotencyClaim | null> {
  const key = input.request.headers['idempotency-key'];
  if (key === undefined || !route.replay) return null;
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw invalidRequest([{ field: 'Idempotency-Key', message: 'must be 1 to 255 visible ASCII characters' }]);
  }
  return claimIdempotencyKey(context, input.principal, {
    route: `${route.method} ${route.path}`,
    key,
    request: { params: input.params, body: input.body ?? null },
  });
}

/** Sends what the answer's schema lets through: a field that is not documented, such as the id of a secret, cannot leave. */
function send(route: Route, response: Response, status: number, answer: unknown): void {
  if (route.emptyWhenDone && answer === undefined) {
    response.status(204).end();
    return;
  }
  if (status === 204 || !route.answer) {
    response.status(status).end();
    return;
  }
  const shown = route.answer.parse(answer);
  const id = idOf(shown);
  if (id !== undefined && (status === 201 || status === 202) && !route.path.includes('{')) {
    response.set('Location', `${route.path}/${id}`);
  }
  response.status(status).json(shown);
}

function idOf(answer: unknown): string | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { id } = answer as { id?: unknown };
  return typeof id === 'string' ? id : undefined;
}
