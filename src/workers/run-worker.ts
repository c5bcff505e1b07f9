import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkerOptions } from '@temporalio/worker';
import { Runtime, Worker } from '@temporalio/worker';
import { createActivities } from '../activities/create-activities.js';
import { parseFaults } from '../activities/faults.js';
import type { Catalog } from '../catalog/client.js';
import { openCatalog } from '../catalog/client.js';
import { findInstallation } from '../catalog/installations.js';
import type { Config } from '../config.js';
import { TidemarkError } from '../domain/errors.js';
import { loadMasterKey } from '../keys/master-key.js';
import { verifyMasterKey } from '../keys/seal.js';
import { createHostPolicy } from '../platform/host-policy.js';
import { enginesRoot } from '../platform/installed.js';
import type { Logger } from '../platform/logger.js';
import { createLogger } from '../platform/logger.js';
import type { TaskQueue } from '../workflows/names.js';
import { taskQueues } from '../workflows/names.js';
import { connectTemporal } from './connect-temporal.js';
import { provideBundle } from './provide-bundle.js';
import { openSandboxRoot, openScratchRoot } from './scratch.js';
import { toTemporalLogger } from './temporal-logger.js';

export type RunWorkerOptions = {
  readonly config: Config;
  readonly queues: readonly TaskQueue[];
  /** Version of Tidemark, for manifests and the worker's identity. */
  readonly version: string;
  /** Called once every queue is being polled. */
  readonly onReady?: () => void;
  /** Ends the worker in order when it aborts. Default: SIGINT and SIGTERM do. */
  readonly signal?: AbortSignal;
};

/** How many long steps a process works on at once: each may hold a dump tool, an upload and a database connection. */
const CONCURRENT: Record<TaskQueue, number> = { control: 40, data: 4, stream: 20 };

/** A stopping worker gives its steps this long before they are told to stop; a deploy costs them one attempt. */
const GRACE = '5s';

/**
 * Serves the given task queues until it is told to stop, then returns. One Temporal Worker per queue, all in this process; when one of
 * them fails the others are stopped and the failure is thrown.
 */
export async function runWorker(options: RunWorkerOptions): Promise<void> {
  const { config, queues } = options;
  const logger = createLogger({ level: config.logLevel, name: 'worker', redact: secretsOf(config) });
  if (config.databaseUrl === undefined) {
    throw new TidemarkError('invalid_configuration', 'A worker needs DATABASE_URL, the address of the catalog.');
  }
  // Before anything else of Temporal: the first worker or connection would install a runtime with other settings.
  Runtime.install({
    logger: toTemporalLogger(logger),
    shutdownSignals: [],
    telemetryOptions: {
      logging: { forward: {}, filter: { core: 'WARN', other: 'ERROR' } },
      ...(config.workerMetrics === undefined ? {} : { metrics: { prometheus: { bindAddress: config.workerMetrics } } }),
    },
  });
  const scratchRoot = openScratchRoot(config.home);
  const sandboxRoot = openSandboxRoot();
  const catalog = openCatalog(config.databaseUrl);
  try {
    const deps = await makeDeps(options, catalog, logger, { scratchRoot, sandboxRoot });
    const connection = await connectTemporal(config);
    try {
      const bundle = await provideBundle(scratchRoot);
      const activities = createActivities(deps);
      const shared: Omit<WorkerOptions, 'taskQueue'> = {
        connection,
        namespace: config.temporal.namespace,
        identity: `tidemark ${options.version} ${hostname()} ${process.pid}`,
        activities,
        shutdownGraceTime: GRACE,
        // A step that does not stop when told is left behind; its successor fences it.
        shutdownForceTime: '30s',
        // Cancels travel with the answers to heartbeats: by default a cancel would wait for 16 s.
        maxHeartbeatThrottleInterval: '1s',
        defaultHeartbeatThrottleInterval: '1s',
      };
      const workers: Worker[] = [];
      for (const queue of queues) {
        workers.push(
          await Worker.create({
            ...shared,
            taskQueue: taskQueues[queue],
            ...(queue === 'control' ? { workflowBundle: bundle, maxCachedWorkflows: 200 } : {}),
            maxConcurrentActivityTaskExecutions: CONCURRENT[queue],
          }),
        );
      }
      await runAll(workers, options, logger);
    } finally {
      await connection.close();
    }
  } finally {
    await catalog.close();
    rmSync(scratchRoot, { recursive: true, force: true });
    rmSync(sandboxRoot, { recursive: true, force: true });
  }
}

async function runAll(workers: readonly Worker[], options: RunWorkerOptions, logger: Logger): Promise<void> {
  const stop = () => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  const signals = options.signal === undefined ? (['SIGINT', 'SIGTERM'] as const) : [];
  for (const signal of signals) process.on(signal, stop);
  options.signal?.addEventListener('abort', stop, { once: true });
  const runs = workers.map(async (worker) => {
    try {
      await worker.run();
    } finally {
      // One queue alone would go on half alive: workflows without hands, or hands without workflows.
      stop();
    }
  });
  logger.info({ queues: options.queues }, 'worker is polling');
  options.onReady?.();
  if (options.signal?.aborted) stop();
  try {
    const results = await Promise.allSettled(runs);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
  logger.info('worker has stopped');
}

async function makeDeps(
  options: RunWorkerOptions,
  catalog: Catalog,
  logger: Logger,
  roots: { scratchRoot: string; sandboxRoot: string },
) {
  const { config } = options;
  const installation = await waitForInstallation(catalog, logger);
  const master = loadMasterKey({ home: config.home, fromEnv: config.masterKey, create: false });
  await verifyMasterKey(master.key, installation.id, installation.masterKeyCheck);
  return {
    catalog,
    masterKey: master.key,
    installationId: installation.id,
    toolRoots: [enginesRoot(config.install)],
    options: {
      ...roots,
      spoolRoot: join(config.home, 'spool'),
      directoryRoots: config.directoryRoots,
      assertHostAllowed: createHostPolicy(config.hosts).assertAllowed,
      mail: { ...config.smtp, publicUrl: config.publicUrl },
      version: options.version,
    },
    logger,
    faults: parseFaults(config.faults),
  };
}

/** The API makes the catalog and its installation row; a worker that starts first waits for it. */
async function waitForInstallation(catalog: Catalog, logger: Logger) {
  for (let tries = 0; ; tries += 1) {
    try {
      const installation = await findInstallation(catalog.prisma);
      if (installation !== null) return installation;
    } catch (error) {
      if (tries >= 60) throw error;
    }
    if (tries === 3) logger.info('waiting for the catalog to be set up by `tidemark serve` or `tidemark up`');
    if (tries >= 120) throw new TidemarkError('service_unavailable', 'The catalog has not been set up yet.');
    await sleep(1_000);
  }
}

function secretsOf(config: Config): string[] {
  return [config.masterKey, config.databaseUrl, config.temporal.apiKey, config.smtp.url, config.admin.password].filter(
    (secret): secret is string => secret !== undefined,
  );
}
