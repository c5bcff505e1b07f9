/**
 * A whole Tidemark for a test file, except its HTTP API: catalog on a real PostgreSQL, Temporal dev server, S3 store, and workers as
 * processes of their own, which a test may kill or stop wherever it likes.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll } from 'vitest';
import type { Catalog } from '../../src/catalog/client.js';
import { openCatalog } from '../../src/catalog/client.js';
import { applyMigrations } from '../../src/catalog/migrate.js';
import { loadConfig } from '../../src/config.js';
import { newId } from '../../src/domain/ids.js';
import { loadMasterKey } from '../../src/keys/master-key.js';
import { toolPath } from '../../src/platform/installed.js';
import { createLogger } from '../../src/platform/logger.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { workerEnvironment, workerNodeFlags } from '../../src/platform/worker-memory.js';
import type { Principal, UsecaseContext } from '../../src/usecases/context.js';
import { defaultUsecaseOptions } from '../../src/usecases/context.js';
import { ensureInstallation } from '../../src/usecases/service/ensure-installation.js';
import { searchAttributeNames } from '../../src/workflows/names.js';
import { uniqueName, useEngine } from './engine-servers.js';
import { useS3Store } from './s3-store.js';
import { until } from './until.js';

const checkout = fileURLToPath(new URL('../..', import.meta.url));

export interface WorkerProcess {
  readonly pid: number;
  /** Everything it said. */
  log(): string;
  /** As an out-of-memory kill would. */
  kill(): Promise<void>;
  /** In order, as a deploy would. */
  stop(): Promise<void>;
  /** SIGSTOP or SIGCONT. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void;
}

export type PlacedFaults = {
  /** Value of TIDEMARK_FAULTS for the workers whose runs are to stop there. */
  readonly setting: string;
  /** Waits until a run has arrived at the place. */
  reached(place: string, timeoutMs?: number): Promise<void>;
  /** Lets it go on. */
  release(place: string): void;
};

export interface RunStack {
  readonly catalog: Catalog;
  readonly context: UsecaseContext;
  readonly admin: Principal;
  readonly temporal: TestWorkflowEnvironment;
  readonly store: ReturnType<typeof useS3Store>;
  /** TIDEMARK_HOME of the workers. */
  readonly home: string;
  /** A worker for all queues, polling. */
  startWorker(options?: { faults?: string; queues?: string; env?: Record<string, string> }): Promise<WorkerProcess>;
  /** Each place stops the first run that comes by. */
  placeFaults(places: readonly string[]): PlacedFaults;
}

export function useRunStack(): RunStack {
  const metadata = useEngine('pg18');
  const store = useS3Store();
  const home = mkdtempSync(join(tmpdir(), 'tm-stack-'));
  const workers: Child[] = [];
  let stack: Omit<RunStack, 'startWorker' | 'placeFaults' | 'store' | 'home'> | undefined;
  let env: TestWorkflowEnvironment | undefined;
  let databaseUrl = '';

  beforeAll(async () => {
    const name = await metadata.createDatabase({ name: uniqueName('catalog') });
    const password = encodeURIComponent(metadata.adminPassword);
    databaseUrl = `postgresql://${metadata.adminUser}:${password}@${metadata.host}:${metadata.port}/${name}`;
    await applyMigrations(databaseUrl);
    const path = toolPath('temporal', loadConfig().install);
    if (path === null) throw new Error('the Temporal server is not installed: run `npm run setup`');
    const { defineSearchAttributeKey, SearchAttributeType } = await import('@temporalio/common');
    env = await TestWorkflowEnvironment.createLocal({
      server: {
        executable: { type: 'existing-path', path },
        searchAttributes: Object.values(searchAttributeNames).map((attribute) =>
          defineSearchAttributeKey(attribute, SearchAttributeType.KEYWORD),
        ),
      },
    });
    const catalog = openCatalog(databaseUrl);
    const master = loadMasterKey({ home, fromEnv: undefined });
    const installationId = await ensureInstallation(catalog, master.key);
    const userId = newId('user');
    await catalog.prisma.user.create({ data: { id: userId, email: `${userId}@example.com`, role: 'admin' } });
    const logger = createLogger({ level: 'warn', name: 'test' });
    stack = {
      catalog,
      temporal: env,
      admin: { userId, role: 'admin', scopes: ['read', 'operate', 'admin'], tokenId: null, requestId: null },
      context: {
        catalog,
        temporal: env.client,
        masterKey: master.key,
        installationId,
        options: { ...defaultUsecaseOptions, searchAttributes: true, directoryRoots: [home] },
        logger,
      },
    };
  });

  afterAll(async () => {
    for (const worker of workers) await worker.kill('SIGKILL');
    await stack?.catalog.close();
    await env?.teardown();
    rmSync(home, { recursive: true, force: true });
  });

  const started = () => {
    if (stack === undefined || env === undefined) throw new Error('the stack is not started yet: use it inside a test');
    return { ...stack, address: env.address };
  };

  return {
    store,
    home,
    get catalog() {
      return started().catalog;
    },
    get context() {
      return started().context;
    },
    get admin() {
      return started().admin;
    },
    get temporal() {
      return started().temporal;
    },
    async startWorker(options = {}) {
      const lines: string[] = [];
      const child = spawnChild({
        command: process.execPath,
        args: [
          ...workerNodeFlags,
          '--import',
          'tsx',
          'src/cli/main.ts',
          'worker',
          '--queues',
          options.queues ?? 'control,data',
        ],
        cwd: checkout,
        env: {
          ...environmentOf(),
          ...workerEnvironment,
          TIDEMARK_HOME: home,
          TIDEMARK_DIRECTORY_ROOTS: home,
          DATABASE_URL: databaseUrl,
          TEMPORAL_ADDRESS: started().address,
          TEMPORAL_NAMESPACE: 'default',
          ...(options.faults === undefined ? {} : { TIDEMARK_FAULTS: options.faults }),
          ...options.env,
        },
        stdout: 'tail',
        label: 'tidemark worker',
        onLine: (line) => lines.push(line),
      });
      workers.push(child);
      let ended = false;
      void child.exited.then(() => {
        ended = true;
      });
      await until(
        () => {
          if (ended) throw new Error(`the worker ended at its start:\n${child.stderrTail()}`);
          return lines.some((line) => line.includes('worker is polling'));
        },
        'the worker to poll',
        // Compiling the workflows takes seconds; a machine under load gets more.
        150_000,
      );
      const pid = child.pid ?? 0;
      return {
        pid,
        log: () => lines.join('\n'),
        kill: async () => void (await child.kill('SIGKILL')),
        stop: async () => void (await child.kill()),
        signal: (name) => process.kill(pid, name),
      };
    },
    placeFaults(places) {
      const dir = join(home, `fault-${randomBytes(4).toString('hex')}`);
      mkdirSync(dir);
      return {
        setting: `pause-at=${places.join(',')};dir=${dir}`,
        reached: async (place, timeoutMs = 60_000) => {
          await until(() => existsSync(join(dir, `${place}.reached`)), `a worker to reach ${place}`, timeoutMs);
        },
        release: (place) => writeFileSync(join(dir, `${place}.go`), ''),
      };
    },
  };
}

/** The installed engines' place, as this process found it. */
function environmentOf(): Record<string, string> {
  const { HOME, XDG_CACHE_HOME, TIDEMARK_ENGINES } = loadConfig().install;
  return Object.fromEntries(
    Object.entries({ HOME, XDG_CACHE_HOME, TIDEMARK_ENGINES }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
}
