import type { RequestHandler } from 'express';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { UsecaseContext } from '../usecases/context.js';
import type { InstallationMetrics } from '../usecases/service/read-metrics.js';
import { readMetrics } from '../usecases/service/read-metrics.js';

/** Figures for Prometheus: what the catalog says at the moment of the scrape, and how this process answers requests. */
export function createMetrics(context: UsecaseContext) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'tidemark_' });
  const requests = new Histogram({
    name: 'tidemark_http_request_duration_seconds',
    help: 'Time from the request to the end of its answer.',
    labelNames: ['method', 'route', 'status'],
    // A check may take 30 s, a download longer.
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120],
    registers: [registry],
  });
  const write = createCatalogGauges(registry);

  return {
    /** Times every request under its route's template; an unknown address has none, or a scanner could make labels. */
    measure: ((request, response, next) => {
      const stop = requests.startTimer();
      response.on('close', () => {
        const route = (response.locals.route as string | undefined) ?? 'none';
        stop({ method: request.method, route, status: String(response.statusCode) });
      });
      next();
    }) satisfies RequestHandler,
    /** The text of a scrape. Throws when the catalog does not answer: old figures would look like present ones. */
    async scrape(): Promise<{ contentType: string; text: string }> {
      write(await readMetrics(context.catalog));
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

function createCatalogGauges(registry: Registry): (figures: InstallationMetrics) => void {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `tidemark_${name}`, help, labelNames, registers: [registry] });
  const backups = gauge('backups', 'Backups in the history by kind and status.', ['kind', 'status']);
  const restores = gauge('restores', 'Restores in the history by status.', ['status']);
  const success = gauge('database_last_backup_success_timestamp_seconds', 'End of the newest completed backup.', [
    'database',
  ]);
  const duration = gauge('database_last_backup_duration_seconds', 'How long it took.', ['database']);
  const bytes = gauge('database_last_backup_bytes', "Bytes of the engine's own files in it.", ['database']);
  const stored = gauge('database_last_backup_stored_bytes', 'Bytes it takes in the destination.', ['database']);
  const pending = gauge('runs_pending', 'Runs that wait to be taken up.', ['type']);
  const waiting = gauge('runs_oldest_pending_seconds', 'For how long the oldest of them has waited.', ['type']);
  return (figures) => {
    // Reset first: a status or database that is gone must not keep its last figure.
    for (const one of [backups, restores, success, duration, bytes, stored, pending, waiting]) one.reset();
    for (const { kind, status, count } of figures.backups) backups.set({ kind, status }, count);
    for (const { status, count } of figures.restores) restores.set({ status }, count);
    for (const last of figures.lastBackups) {
      const labels = { database: last.databaseId };
      success.set(labels, last.completedAt.getTime() / 1000);
      duration.set(labels, last.seconds);
      bytes.set(labels, last.bytes);
      stored.set(labels, last.storedBytes);
    }
    for (const { type, pending: count, oldest } of figures.queue) {
      pending.set({ type }, count);
      waiting.set({ type }, oldest ? Math.max(0, (Date.now() - oldest.getTime()) / 1000) : 0);
    }
  };
}
