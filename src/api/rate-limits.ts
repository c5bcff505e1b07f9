import type { Request, RequestHandler, Response } from 'express';
import type { Options } from 'express-rate-limit';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import { TidemarkError } from '../domain/errors.js';
import type { Principal } from '../usecases/context.js';

export type RateLimits = {
  /** Requests per minute of one signed-in principal. */
  readonly perPrincipal: number;
  /** Requests per minute of one address without valid authentication. */
  readonly perAddress: number;
  /** Failed sign-ins per quarter of an hour, of one address and for one e-mail address. */
  readonly signIn: number;
};

// A script that polls several runs three times a second stays below; a loop gone wild does not.
export const defaultRateLimits: RateLimits = { perPrincipal: 3000, perAddress: 300, signIn: 10 };

const shared = {
  standardHeaders: 'draft-8',
  legacyHeaders: false,
  // Which proxy to believe is TIDEMARK_TRUST_PROXY's matter; the library would print a warning per request about headers of others.
  validate: { xForwardedForHeader: false },
  handler: (request, _response, next) => {
    const { resetTime } = (request as Request & { rateLimit?: { resetTime?: Date } }).rateLimit ?? {};
    const seconds = resetTime ? Math.max(1, Math.ceil((resetTime.getTime() - Date.now()) / 1000)) : 60;
    next(
      new TidemarkError('rate_limited', `Too many requests; the next one is taken in ${seconds} s.`, {
        retryAfterSeconds: seconds,
      }),
    );
  },
} satisfies Partial<Options>;

const addressOf = (request: Request) => ipKeyGenerator(request.ip ?? 'unknown');

/** Runs a limiter where the flow is code, not a chain of middleware; throws `rate_limited`. */
function asCheck(limiter: RequestHandler): (request: Request, response: Response) => Promise<void> {
  return (request, response) =>
    new Promise((resolve, reject) => {
      const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
      Promise.resolve(limiter(request, response, done)).catch(reject);
    });
}

/** The limits of one API process; counted in memory, each process for itself. */
export function createRateLimits(limits: RateLimits) {
  const general = asCheck(
    rateLimit({
      ...shared,
      windowMs: 60_000,
      limit: (_request, response) => (principalOf(response) ? limits.perPrincipal : limits.perAddress),
      keyGenerator: (request, response) => {
        const principal = principalOf(response);
        return principal ? `user ${principal.userId}` : `address ${addressOf(request)}`;
      },
    }),
  );
  const failures = { ...shared, windowMs: 15 * 60_000, limit: limits.signIn, skipSuccessfulRequests: true };
  const byAddress = asCheck(rateLimit({ ...failures, keyGenerator: addressOf }));
  const byValue = asCheck(
    rateLimit({ ...failures, keyGenerator: (_request, response) => String(response.locals.strictLimitValue) }),
  );
  return {
    /** Every request, once it is known whose it is. */
    check: general,
    /** A try to sign in: per address, so that one cannot try many users, and per user, so that many cannot try one. */
    async checkSignIn(request: Request, response: Response, value: string): Promise<void> {
      response.locals.strictLimitValue = value.toLowerCase().slice(0, 254);
      await byAddress(request, response);
      await byValue(request, response);
    },
  };
}

export type RateLimitChecks = ReturnType<typeof createRateLimits>;

/** The caller, once authenticated. */
export function principalOf(response: Response): Principal | undefined {
  return response.locals.principal as Principal | undefined;
}
