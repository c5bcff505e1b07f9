/** A whole service for end-to-end and fault tests: `tidemark up` as a process of its own, driven through its public API. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { ApiClient } from '../../scripts/lib/api-client.js';
import type { ServiceProcess } from '../../scripts/lib/service-process.js';
import { embeddedDestination, startServiceProcess } from '../../scripts/lib/service-process.js';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { RestoreResource } from '../../src/domain/schemas/restores.js';
import type { TestEngine } from './engine-servers.js';

export interface TestService {
  readonly api: ApiClient;
  readonly home: string;
  readonly token: string;
  readonly process: ServiceProcess;
  /** Stops (or has been killed) and starts again on the same state. */
  restart(env?: Readonly<Record<string, string>>): Promise<void>;
  /** A destination in the embedded store under a prefix of its own. */
  createDestination(prefix: string): Promise<string>;
  /** Registers a database of a test server with its admin account. */
  registerDatabase(
    engine: TestEngine,
    database: string,
    account?: { username: string; password: string },
  ): Promise<string>;
  /** A manual plan. */
  createPlan(databaseId: string, destinationId: string, more?: Record<string, unknown>): Promise<string>;
  /** Requests a backup of a plan and waits until it has settled. */
  backUp(planId: string): Promise<BackupResource>;
  restore(body: Record<string, unknown>): Promise<RestoreResource>;
}

/** One service for the calling test file; ended with it. */
export function useTidemark(env: Readonly<Record<string, string>> = {}): TestService {
  let service: ServiceProcess | undefined;
  let home = '';
  const current = () => {
    if (service === undefined) throw new Error('the service has not been started');
    return service;
  };

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'tm-service-'));
    chmodSync(home, 0o711);
    service = await startServiceProcess({ home, env });
  });
  afterAll(async () => {
    await service?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  const api: ApiClient = {
    send: (...args) => current().api.send(...args),
    get: (path) => current().api.get(path),
    post: (path, body) => current().api.post(path, body),
    put: (path, body) => current().api.put(path, body),
    patch: (path, body) => current().api.patch(path, body),
    delete: (path) => current().api.delete(path),
    untilSettled: (path, options) => current().api.untilSettled(path, options),
  };
  return {
    api,
    get home() {
      return home;
    },
    get token() {
      return current().token;
    },
    get process() {
      return current();
    },
    async restart(again = {}) {
      const { token } = current();
      await current().stop();
      service = await startServiceProcess({ home, token, env: { ...env, ...again } });
    },
    async createDestination(prefix) {
      const created = await api.post<{ id: string }>('/v1/destinations', {
        name: `store ${prefix}`,
        ...embeddedDestination(current().run(), prefix),
      });
      return created.id;
    },
    async registerDatabase(engine, database, account) {
      const created = await api.post<{ id: string }>('/v1/databases', {
        name: `${engine.product} ${database}`.slice(0, 60),
        engine: engine.engine,
        host: engine.host,
        port: engine.port,
        username: account?.username ?? engine.adminUser,
        password: account?.password ?? engine.adminPassword,
        database,
      });
      return created.id;
    },
    async createPlan(databaseId, destinationId, more = {}) {
      const created = await api.post<{ id: string }>('/v1/plans', {
        name: `plan of ${databaseId}`,
        databaseId,
        destinationId,
        schedule: { type: 'manual' },
        ...more,
      });
      return created.id;
    },
    async backUp(planId) {
      const { id } = await api.post<{ id: string }>('/v1/backups', { planId });
      return api.untilSettled<BackupResource>(`/v1/backups/${id}`);
    },
    async restore(body) {
      const { id } = await api.post<{ id: string }>('/v1/restores', body);
      return api.untilSettled<RestoreResource>(`/v1/restores/${id}`);
    },
  };
}
