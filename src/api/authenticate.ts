import { parseCookie } from 'cookie';
import type { Request } from 'express';
import { TidemarkError } from '../domain/errors.js';
import { authenticateSession, authenticateToken } from '../usecases/auth/authenticate.js';
import type { Principal, UsecaseContext } from '../usecases/context.js';

export const sessionCookie = 'tidemark_session';

const bearer = /^Bearer ([\x21-\x7e]{1,512})$/i;

/** The caller of a request, by bearer token or, in a browser, by session cookie. Throws `unauthenticated` or `forbidden`. */
export async function authenticateRequest(
  context: UsecaseContext,
  request: Request,
  requestId: string,
): Promise<Principal> {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const secret = bearer.exec(header)?.[1];
    if (!secret) throw new TidemarkError('unauthenticated', 'The Authorization header is not `Bearer <token>`.');
    return authenticateToken(context, secret, requestId);
  }
  const secret = readSessionCookie(request);
  if (!secret) throw new TidemarkError('unauthenticated', 'The request has neither a bearer token nor a session.');
  const { principal } = await authenticateSession(context, secret, requestId);
  refuseForeignOrigin(request);
  return principal;
}

function readSessionCookie(request: Request): string | undefined {
  const header = request.headers.cookie;
  return header === undefined ? undefined : parseCookie(header)[sessionCookie];
}

/**
 * A second lock beside SameSite=Strict: a page of another origin on the same site (another port, a subdomain) must not change anything
 * with the browser's cookie. Browsers always send one of these headers with a request that changes something.
 */
function refuseForeignOrigin(request: Request): void {
  if (request.method === 'GET' || request.method === 'HEAD') return;
  const site = request.headers['sec-fetch-site'];
  if (site === 'same-origin' || site === 'none') return;
  const origin = request.headers.origin;
  if (site === undefined && origin !== undefined && URL.parse(origin)?.host === request.headers.host) return;
  throw new TidemarkError('forbidden', 'A session may only be used from the pages of this service.');
}
