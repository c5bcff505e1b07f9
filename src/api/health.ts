import { Router } from 'express';
import type { UsecaseContext } from '../usecases/context.js';
import type { Readiness } from '../usecases/service/check-readiness.js';
import { checkReadiness } from '../usecases/service/check-readiness.js';
import type { createMetrics } from './metrics.js';

// Several probes at once must not multiply the questions to the catalog and Temporal.
const readinessFreshMs = 1_000;

/** `/healthz`, `/readyz`, `/metrics`: for orchestrators and Prometheus, without authentication; ids and numbers only. */
export function createHealthPages(context: UsecaseContext, metrics: ReturnType<typeof createMetrics>): Router {
  const router = Router({ caseSensitive: true, strict: true });
  let last: { at: number; result: Promise<Readiness> } | undefined;
  const readiness = () => {
    if (!last || Date.now() - last.at > readinessFreshMs) last = { at: Date.now(), result: checkReadiness(context) };
    return last.result;
  };
  router.use((_request, response, next) => {
    response.set('Cache-Control', 'no-store');
    next();
  });
  router.get('/healthz', (_request, response) => {
    response.type('text/plain').send('ok\n');
  });
  router.get('/readyz', async (_request, response) => {
    const result = await readiness();
    response.status(result.ready ? 200 : 503).json(result);
  });
  router.get('/metrics', async (_request, response) => {
    const { contentType, text } = await metrics.scrape();
    response.set('Content-Type', contentType).send(text);
  });
  return router;
}
