/** The API for a test file, as `tidemark serve` runs it: on a catalog of a real PostgreSQL and a Temporal dev server, over HTTP. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll } from 'vitest';
import type { RateLimits } from '../../src/api/rate-limits.js';
import type { RunningApi } from '../../src/api/start-api.js';
import { startApi } from '../../src/api/start-api.js';
import type { Catalog } from '../../src/catalog/client.js';
import { openCatalog } from '../../src/catalog/client.js';
import { applyMigrations } from '../../src/catalog/migrate.js';
import { loadConfig } from '../../src/config.js';
import type { UserRole } from '../../src/domain/statuses.js';
import { loadMasterKey } from '../../src/keys/master-key.js';
import { toolPath } from '../../src/platform/installed.js';
import { createLogger } from '../../src/platform/logger.js';
import { ensureFirstAdmin } from '../../src/usecases/auth/ensure-first-admin.js';
import { connectTemporal } from '../../src/usecases/service/connect-temporal.js';
import type { TestEngine } from './engine-servers.js';
import { uniqueName, useEngine } from './engine-servers.js';

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  /** The text as it came. */
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  readonly body: any;
};

export type CallOptions = {
  readonly body?: unknown;
  /** Sent as it is, in place of `body`. */
  readonly raw?: string | Buffer<ArrayBuffer>;
  readonly headers?: Record<string, string>;
  /** Null: no authentication. Default: the admin's. */
  readonly token?: string | null;
};

export interface ApiStack {
  readonly base: string;
  readonly home: string;
  readonly catalog: Catalog;
  readonly databaseUrl: string;
  readonly api: RunningApi;
  readonly adminToken: string;
  readonly temporal: TestWorkflowEnvironment;
  /** For good: there is no other one for this file. */
  stopTemporal(): Promise<void>;
  /** Everything the API logged. */
  log(): string;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** A user made by the admin, with a token of the given scopes. */
  createUser(
    role?: UserRole,
    scopes?: string[],
  ): Promise<{ id: string; email: string; password: string; token: string }>;
}

export const adminPassword = 'correct horse battery staple';

export type ApiOptions = {
  limits?: Partial<RateLimits>;
  checkTimeoutMs?: number;
  /** Further variables of the environment. */
  env?: Record<string, string>;
  /** The catalog's server, where a test wants to stop it; default: the shared one. */
  metadata?: TestEngine;
};

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => {
    done ??= work();
    return done;
  };
}

export function useApi(options: ApiOptions = {}): ApiStack {
  const metadata = options.metadata ?? useEngine('pg18');
  const home = mkdtempSync(join(tmpdir(), 'tm-api-'));
  const adminToken = `tmk_test_${uniqueName('admin')}_${'x'.repeat(24)}`;
  const lines: string[] = [];
  let started:
    | {
        catalog: Catalog;
        api: RunningApi;
        databaseUrl: string;
        temporal: TestWorkflowEnvironment;
        stopTemporal: () => Promise<void>;
        closeConnection: () => Promise<void>;
      }
    | undefined;

  beforeAll(async () => {
    const name = await metadata.createDatabase({ name: uniqueName('api') });
    const password = encodeURIComponent(metadata.adminPassword);
    const databaseUrl = `postgresql://${metadata.adminUser}:${password}@${metadata.host}:${metadata.port}/${name}`;
    await applyMigrations(databaseUrl);
    const path = toolPath('temporal', loadConfig().install);
    if (path === null) throw new Error('the Temporal server is not installed: run `npm run setup`');
    const temporal = await TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'existing-path', path } },
    });
    const catalog = openCatalog(databaseUrl);
    // A connection of its own, as the service has: it must outlive a server that goes away.
    const connection = await connectTemporal({
      address: temporal.address,
      namespace: 'default',
      apiKey: undefined,
      tls: null,
    });
    const destination = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    const api = await startApi({
      config: loadConfig({ TIDEMARK_HOME: home, TIDEMARK_DIRECTORY_ROOTS: home, ...options.env }),
      catalog,
      temporal: connection.client,
      masterKey: loadMasterKey({ home, fromEnv: undefined }).key,
      logger: createLogger({ level: 'info', name: 'api', destination }),
      port: 0,
      version: '0.0.0-test',
      limits: { perPrincipal: 1_000_000, perAddress: 1_000_000, signIn: 1_000_000, ...options.limits },
      checkTimeoutMs: options.checkTimeoutMs ?? 500,
    });
    await ensureFirstAdmin(catalog, home, { email: 'admin@example.org', password: adminPassword, token: adminToken });
    const stopTemporal = once(() => temporal.teardown());
    started = { catalog, api, databaseUrl, temporal, stopTemporal, closeConnection: () => connection.close() };
  });

  afterAll(async () => {
    await started?.api.close();
    await started?.catalog.close();
    await started?.closeConnection();
    await started?.stopTemporal();
    rmSync(home, { recursive: true, force: true });
  });

  const get = () => {
    if (!started) throw new Error('the API is not started yet: use it inside a test or hook');
    return started;
  };
  const base = () => `http://127.0.0.1:${get().api.port}`;

  const call = async (method: string, path: string, { body, raw, headers, token }: CallOptions = {}) => {
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const response = await fetch(`${base()}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token ?? adminToken}` }),
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(sent === undefined ? {} : { body: sent }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get('content-type') ?? '');
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
  };

  return {
    home,
    adminToken,
    call,
    log: () => lines.join(''),
    stopTemporal: () => get().stopTemporal(),
    get base() {
      return base();
    },
    get catalog() {
      return get().catalog;
    },
    get databaseUrl() {
      return get().databaseUrl;
    },
    get api() {
      return get().api;
    },
    get temporal() {
      return get().temporal;
    },
    async createUser(role = 'user', scopes = ['operate']) {
      const password = `password of ${uniqueName()}`;
      const email = `${uniqueName()}@example.org`;
      const user = await call('POST', '/v1/users', { body: { email, role, password } });
      const session = await call('POST', '/v1/sessions', { body: { email, password }, token: null });
      const cookie = session.headers.getSetCookie()[0]?.split(';')[0] ?? '';
      const token = await call('POST', '/v1/tokens', {
        body: { name: 'test', scopes },
        token: null,
        headers: { cookie, 'sec-fetch-site': 'same-origin' },
      });
      if (token.status !== 201) throw new Error(`no token for ${email}: ${token.text}`);
      return { id: user.body.id, email, password, token: token.body.token };
    },
  };
}

/** A database registration that nothing answers at. */
export const databaseInput = (name = uniqueName()) => ({
  name,
  engine: 'postgresql',
  host: '127.0.0.1',
  port: 1,
  username: 'backup',
  password: `secret-${name}`,
  database: 'shop',
});
