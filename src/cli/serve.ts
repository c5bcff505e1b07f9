import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { startApi } from '../api/start-api.js';
import { openCatalog } from '../catalog/client.js';
import { findInstallation } from '../catalog/installations.js';
import { applyMigrations } from '../catalog/migrate.js';
import { DEFAULT_PORT, loadConfig } from '../config.js';
import { TidemarkError } from '../domain/errors.js';
import { loadMasterKey } from '../keys/master-key.js';
import { createLogger } from '../platform/logger.js';
import { ensureFirstAdmin } from '../usecases/auth/ensure-first-admin.js';
import { startReconcileLoop } from '../usecases/reconcile.js';
import { connectTemporal } from '../usecases/service/connect-temporal.js';
import { followEmbeddedStore } from '../usecases/service/follow-embedded-store.js';
import type { StartService } from './start-all.js';

const reconcileEveryMs = 30_000;

function ownVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/**
 * The API with its reconcile loop, on a catalog and a Temporal that are elsewhere. In this order: the schema, the master key (a new
 * installation gets one, an existing one must get its own), the first admin, then requests.
 */
export const startService: StartService = async ({ config, port, logger, embeddedStore }) => {
  const applied = await applyMigrations(config.databaseUrl);
  if (applied.length > 0) logger.info({ applied }, 'Applied migrations of the catalog');
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const catalog = openCatalog(config.databaseUrl);
    undo.push(() => catalog.close());
    const known = await findInstallation(catalog.prisma);
    const master = loadMasterKey({ home: config.home, fromEnv: config.masterKey, create: known === null });
    const temporal = await connectTemporal(config.temporal);
    undo.push(() => temporal.close());
    const api = await startApi({
      config,
      catalog,
      temporal: temporal.client,
      masterKey: master.key,
      logger,
      port,
      version: ownVersion(),
    });
    undo.push(() => api.close());
    if (embeddedStore !== null) {
      const moved = await followEmbeddedStore(api.context, embeddedStore);
      if (moved.length > 0) logger.info({ moved, endpoint: embeddedStore.endpoint }, 'The embedded store has moved');
    }
    const admin = await ensureFirstAdmin(catalog, config.home, config.admin);
    const loop = startReconcileLoop(api.context, { intervalMs: reconcileEveryMs });
    undo.push(() => loop.stop());
    const confirmed = (await findInstallation(catalog.prisma))?.masterKeyConfirmedAt ?? null;
    const notices = [
      ...(admin.credentialsFile ? [`The first admin is ${config.admin.email}; see ${admin.credentialsFile}`] : []),
      ...(master.path && confirmed === null
        ? [
            `Save ${master.path} elsewhere: no backup can be read without it. Then say so with \`npx tidemark keys confirm\` or POST /v1/master-key/confirm.`,
          ]
        : []),
    ];
    return { port: api.port, notices, close };
  } catch (error) {
    await close().catch((second: unknown) => logger.error({ err: second }, 'not everything could be closed'));
    throw error;
  }
};

/** `tidemark serve`: the API and the reconcile loop, as production runs them; catalog and Temporal come from the environment. */
export function registerServe(program: Command): void {
  program
    .command('serve')
    .description(
      'Run the API on the catalog and Temporal of the environment until it is told to stop (SIGINT, SIGTERM)',
    )
    .action(async () => {
      const config = loadConfig();
      const { databaseUrl } = config;
      if (databaseUrl === undefined) {
        throw new TidemarkError(
          'invalid_configuration',
          'DATABASE_URL is missing: `tidemark serve` needs the PostgreSQL of the catalog. `tidemark up` brings its own.',
        );
      }
      const redact = [config.masterKey, databaseUrl, config.temporal.apiKey, config.admin.password, config.admin.token];
      const logger = createLogger({
        level: config.logLevel,
        name: 'api',
        redact: redact.filter((secret) => secret !== undefined),
      });
      // Listening from the beginning: a signal during the start must end it in order.
      const stopped = new Promise<string>((resolve) => {
        for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve(signal));
      });
      const port = config.port ?? DEFAULT_PORT;
      const service = await startService({ config: { ...config, databaseUrl }, port, logger, embeddedStore: null });
      for (const notice of service.notices) logger.warn(notice);
      logger.info({ signal: await stopped }, 'Stopping');
      await service.close();
      // A connection that some library keeps open must not keep the process.
      process.exit(0);
    });
}
