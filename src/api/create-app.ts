import type { Express, RequestHandler } from 'express';
import express from 'express';
import helmet from 'helmet';
import type { Logger } from 'pino';
import { TidemarkError } from '../domain/errors.js';
import type { UsecaseContext } from '../usecases/context.js';
import { createDocsPages } from './docs/docs-pages.js';
import { createHealthPages } from './health.js';
import { answerErrors } from './http-errors.js';
import { createMetrics } from './metrics.js';
import { mountRoutes } from './mount-routes.js';
import { describeApi } from './openapi.js';
import type { RateLimits } from './rate-limits.js';
import { createRateLimits, principalOf } from './rate-limits.js';
import { assignRequestId, requestIdOf } from './request-id.js';
import { allRoutes } from './routers/all-routes.js';

export type AppOptions = {
  readonly limits: RateLimits;
  readonly version: string;
  readonly secureCookies: boolean;
  /** As in the configuration; whose X-Forwarded-For says where a request came from. */
  readonly trustProxy: number | readonly string[];
};

/** The whole API as one Express app, without a port. */
export function createApp(context: UsecaseContext, options: AppOptions): Express {
  const app = express();
  const metrics = createMetrics(context);
  const routes = allRoutes({ secureCookies: options.secureCookies });
  app.disable('x-powered-by');
  // Answers change between two readings anyway; a hash of each would be computed for nothing.
  app.disable('etag');
  app.set('query parser', 'simple');
  app.set('trust proxy', options.trustProxy);
  app.use(assignRequestId, logRequests(context.logger), metrics.measure, securityHeaders(options.secureCookies));
  app.use(createHealthPages(context, metrics));
  app.use(createDocsPages(describeApi(routes, options.version)));
  app.use(mountRoutes({ context, limits: createRateLimits(options.limits) }, routes));
  app.use((request) => {
    throw new TidemarkError('not_found', `There is nothing at ${request.path.slice(0, 256)}.`);
  });
  app.use(answerErrors(context.logger));
  return app;
}

function securityHeaders(secure: boolean): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        // The explorer sets styles on its elements.
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    // Told to a browser once, it would lock out the plain http of a loopback installation.
    strictTransportSecurity: secure ? { maxAge: 31_536_000, includeSubDomains: false } : false,
    frameguard: { action: 'deny' },
  });
}

/** One line per request: who, what, how long. Without the query and the body, which can hold names and secrets. */
function logRequests(logger: Logger): RequestHandler {
  return (request, response, next) => {
    const start = process.hrtime.bigint();
    response.on('close', () => {
      const line = {
        requestId: requestIdOf(response),
        method: request.method,
        path: request.path.slice(0, 256),
        status: response.statusCode,
        ms: Number((process.hrtime.bigint() - start) / 1_000_000n),
        ...(principalOf(response) ? { userId: principalOf(response)?.userId } : {}),
        // Closed before its end: the caller went away, or a download broke.
        ...(response.writableFinished ? {} : { aborted: true }),
      };
      logger[response.statusCode >= 500 ? 'warn' : 'info'](line, 'request');
    });
    next();
  };
}
