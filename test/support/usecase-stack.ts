/**
 * Use cases on a real catalog and a real Temporal, without workers: what a request leaves behind in both can be looked at, because
 * nothing goes on by itself.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll } from 'vitest';
import { openCatalog } from '../../src/catalog/client.js';
import { applyMigrations } from '../../src/catalog/migrate.js';
import { loadConfig } from '../../src/config.js';
import type { TidemarkError } from '../../src/domain/errors.js';
import { isTidemarkError } from '../../src/domain/errors.js';
import { newId } from '../../src/domain/ids.js';
import type { UserRole } from '../../src/domain/statuses.js';
import { newMasterKey } from '../../src/keys/master-key.js';
import { toolPath } from '../../src/platform/installed.js';
import { createLogger } from '../../src/platform/logger.js';
import type { Principal, UsecaseContext, UsecaseOptions } from '../../src/usecases/context.js';
import { defaultUsecaseOptions } from '../../src/usecases/context.js';
import { createDatabase } from '../../src/usecases/create-database.js';
import { createDestination } from '../../src/usecases/create-destination.js';
import { createPlan } from '../../src/usecases/create-plan.js';
import { ensureInstallation } from '../../src/usecases/service/ensure-installation.js';
import { searchAttributeNames } from '../../src/workflows/names.js';
import { uniqueName, useEngine } from './engine-servers.js';

/** A Temporal dev server with our search attributes and nothing else in it. */
export async function startTemporal(): Promise<TestWorkflowEnvironment> {
  const path = toolPath('temporal', loadConfig().install);
  if (path === null) throw new Error('the Temporal server is not installed: run `npm run setup`');
  return await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path },
      searchAttributes: Object.values(searchAttributeNames).map((name) =>
        defineSearchAttributeKey(name, SearchAttributeType.KEYWORD),
      ),
    },
  });
}

export interface UsecaseStack {
  readonly context: UsecaseContext;
  readonly admin: Principal;
  /** A user who owns nothing but what a test gives them. */
  addUser(role?: UserRole): Promise<Principal>;
}

export function useUsecases(options: Partial<UsecaseOptions> = {}): UsecaseStack {
  const metadata = useEngine('pg18');
  const root = mkdtempSync(join(tmpdir(), 'tm-usecases-'));
  let env: TestWorkflowEnvironment | undefined;
  let context: UsecaseContext | undefined;
  let admin: Principal | undefined;

  const started = (): UsecaseContext => {
    if (context === undefined) throw new Error('the stack is not started yet: use it inside a test');
    return context;
  };
  const addUser = async (role: UserRole = 'user'): Promise<Principal> => {
    const userId = newId('user');
    await started().catalog.prisma.user.create({ data: { id: userId, email: `${userId}@example.com`, role } });
    return { userId, role, scopes: ['read', 'operate', 'admin'], tokenId: null, requestId: 'req-test' };
  };

  beforeAll(async () => {
    const name = await metadata.createDatabase({ name: uniqueName('catalog') });
    const password = encodeURIComponent(metadata.adminPassword);
    const url = `postgresql://${metadata.adminUser}:${password}@${metadata.host}:${metadata.port}/${name}`;
    await applyMigrations(url);
    env = await startTemporal();
    const catalog = openCatalog(url);
    const masterKey = newMasterKey();
    context = {
      catalog,
      temporal: env.client,
      masterKey,
      installationId: await ensureInstallation(catalog, masterKey),
      options: { ...defaultUsecaseOptions, searchAttributes: true, directoryRoots: [root], ...options },
      logger: createLogger({ level: 'error', name: 'test' }),
    };
    admin = await addUser('admin');
  });
  afterAll(async () => {
    await context?.catalog.close();
    await env?.teardown();
    rmSync(root, { recursive: true, force: true });
  });

  return {
    get context() {
      return started();
    },
    get admin() {
      if (admin === undefined) throw new Error('the stack is not started yet: use it inside a test');
      return admin;
    },
    addUser,
  };
}

/** The error that a use case ends with; a test that expects one must not pass when there is none. */
export async function errorOf(work: Promise<unknown>): Promise<TidemarkError> {
  try {
    await work;
  } catch (error) {
    if (isTidemarkError(error)) return error;
    throw error;
  }
  throw new Error('the use case was expected to refuse, but it succeeded');
}

/** A database nobody listens for: no worker looks at it in these tests. */
export function registerDatabase(context: UsecaseContext, owner: Principal, name = uniqueName('db')) {
  return createDatabase(context, owner, {
    name,
    engine: 'postgresql',
    host: '127.0.0.1',
    port: 5999,
    username: 'backup',
    password: 'planted-secret-of-database',
    database: name,
  });
}

export function registerDestination(context: UsecaseContext, owner: Principal, name = uniqueName('store')) {
  return createDestination(context, owner, {
    name,
    type: 's3',
    endpoint: 'http://127.0.0.1:9',
    bucket: 'backups',
    region: 'us-east-1',
    prefix: name,
    accessKeyId: 'planted-access-key',
    secretAccessKey: 'planted-secret-of-store',
    forcePathStyle: true,
    enabled: true,
  });
}

/** A database, a destination and a plan of one owner. */
export async function registerPlan(
  context: UsecaseContext,
  owner: Principal,
  changes: Partial<Parameters<typeof createPlan>[2]> = {},
) {
  const database = await registerDatabase(context, owner);
  const destination = await registerDestination(context, owner);
  const plan = await createPlan(context, owner, {
    name: uniqueName('plan'),
    databaseId: database.id,
    destinationId: destination.id,
    schedule: { type: 'manual' },
    encryption: true,
    ...changes,
  });
  return { database, destination, plan };
}

/** Settles a backup as its workflow would have: what a test of restores needs is a completed one. */
export async function completeBackupRow(context: UsecaseContext, backupId: string): Promise<void> {
  await context.catalog.prisma.backup.update({
    where: { id: backupId },
    data: {
      status: 'completed',
      activeKey: null,
      fencingToken: 1,
      startedAt: new Date(),
      takenAt: new Date(),
      completedAt: new Date(),
      bytes: 1000n,
      storedBytes: 100n,
    },
  });
}
