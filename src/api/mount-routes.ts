import { Router } from 'express';
import { TidemarkError } from '../domain/errors.js';
import type { Route } from './route.js';
import { expressPath } from './route.js';
import type { ServingDeps } from './serve-route.js';
import { serveRoute } from './serve-route.js';

/** Every route of the table, and 405 with `Allow` for a known address asked with another method. */
export function mountRoutes(deps: ServingDeps, routes: readonly Route[]): Router {
  // Strict: `/v1/plans/` is another address, so that an object has one name only.
  const router = Router({ caseSensitive: true, strict: true });
  const methods = new Map<string, Set<string>>();
  for (const route of routes) {
    const path = expressPath(route.path);
    const allowed = methods.get(path) ?? new Set();
    allowed.add(route.method.toUpperCase());
    if (route.method === 'get') allowed.add('HEAD');
    methods.set(path, allowed);
    router[route.method](path, (request, response, next) => {
      response.locals.route = route.path;
      response.set('Cache-Control', 'no-store');
      serveRoute(deps, route, request, response).catch(next);
    });
  }
  for (const [path, allowed] of methods) {
    router.all(path, (request, response) => {
      const list = [...allowed].sort().join(', ');
      response.set('Allow', list);
      throw new TidemarkError('method_not_allowed', `${request.method} is not offered here; ${list} is.`);
    });
  }
  return router;
}
