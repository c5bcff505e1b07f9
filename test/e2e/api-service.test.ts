import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import { allRoutes } from '../../src/api/routers/all-routes.js';
import { startApi } from '../../src/api/start-api.js';
import { loadConfig } from '../../src/config.js';
import { createRestoreSchema } from '../../src/domain/schemas/restores.js';
import { newMasterKey } from '../../src/keys/master-key.js';
import { createLogger } from '../../src/platform/logger.js';
import { databaseInput, useApi } from '../support/api-stack.js';

const api = useApi({ limits: { perPrincipal: 60, perAddress: 20, signIn: 3 } });

describe('service pages', () => {
  it('is alive and, without a worker, not ready; and says which queues nobody polls', async () => {
    expect((await api.call('GET', '/healthz', { token: null })).text).toBe('ok\n');
    const answer = await api.call('GET', '/readyz', { token: null });
    expect(answer.status).toBe(503);
    expect(answer.body).toEqual({
      ready: false,
      components: {
        catalog: { ok: true, detail: 'answers' },
        temporal: { ok: true, detail: 'answers' },
        workers: { ok: false, detail: 'no worker polls control and data' },
      },
    });
  });

  it('gives Prometheus the runs, the last success per database, the queue and its own requests', async () => {
    const made = await api.call('POST', '/v1/databases', { body: databaseInput() });
    const owner = (await api.call('GET', '/v1/me')).body.id;
    const destination = await api.catalog.prisma.destination.create({
      data: { id: 'dst_0000000000000001', name: 'x', type: 's3', ownerId: owner },
    });
    const run = { kind: 'dump', databaseId: made.body.id, destinationId: destination.id, trigger: 'manual' };
    const ended = new Date('2026-01-02T03:04:05Z');
    await api.catalog.prisma.backup.createMany({
      data: [
        { ...run, id: 'bkp_0000000000000001', status: 'failed' },
        { ...run, id: 'bkp_0000000000000002', status: 'pending', activeKey: made.body.id },
        {
          ...run,
          id: 'bkp_0000000000000003',
          status: 'completed',
          bytes: 5_000_000_000n,
          storedBytes: 1000n,
          startedAt: new Date(ended.getTime() - 90_000),
          completedAt: ended,
        },
      ],
    });
    const { text, headers } = await api.call('GET', '/metrics', { token: null });
    expect(headers.get('content-type')).toContain('text/plain');
    const id = made.body.id;
    for (const line of [
      'tidemark_backups{kind="dump",status="failed"} 1',
      'tidemark_backups{kind="dump",status="completed"} 1',
      `tidemark_database_last_backup_success_timestamp_seconds{database="${id}"} ${ended.getTime() / 1000}`,
      `tidemark_database_last_backup_duration_seconds{database="${id}"} 90`,
      `tidemark_database_last_backup_bytes{database="${id}"} 5000000000`,
      'tidemark_runs_pending{type="backup"} 1',
      'tidemark_http_request_duration_seconds_count{method="POST",route="/v1/databases",status="201"} 1',
    ]) {
      expect(text).toContain(line);
    }
    expect(text).not.toContain(made.body.name);
  });

  it('sends headers that keep pages from being framed, sniffed or fed with foreign scripts', async () => {
    const { headers } = await api.call('GET', '/docs', { token: null });
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('content-security-policy')).not.toMatch(/script-src[^;]*unsafe/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('x-powered-by')).toBeNull();
    expect((await api.call('GET', '/v1/me')).headers.get('cache-control')).toBe('no-store');
  });

  it('leads who opens its bare address to the explorer', async () => {
    const answer = await api.call('GET', '/', { token: null });
    expect([answer.status, answer.headers.get('location')]).toEqual([302, '/docs']);
  });

  it('describes itself with examples that its own checks take, and without bounds that bound nothing', async () => {
    const { text, body } = await api.call('GET', '/openapi.json', { token: null });
    expect(text).not.toContain(String(Number.MAX_SAFE_INTEGER));
    const example = createRestoreSchema.parse(body.components.schemas.CreateRestore.example);
    expect(example.target?.kind).toBe('server');
  });

  it('serves the API explorer from itself alone', async () => {
    const page = await api.call('GET', '/docs', { token: null });
    const addresses = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(addresses.length).toBeGreaterThan(3);
    for (const address of addresses) {
      expect(address).toMatch(/^\/docs\//);
      expect([address, (await api.call('GET', address, { token: null })).status]).toEqual([address, 200]);
    }
  });

  it('keeps a page per error code that is what the table says now', async () => {
    const { errorCodes, renderErrorDoc, renderErrorIndex } = await import('../../src/api/docs/render-error-doc.js');
    const folder = new URL('../../docs/errors/', import.meta.url);
    const expected = [...errorCodes.map((code) => `${code}.md`), 'README.md'].sort();
    expect(readdirSync(folder).sort(), 'run `npm run docs:errors`').toEqual(expected);
    for (const code of errorCodes) {
      expect(readFileSync(new URL(`${code}.md`, folder), 'utf8')).toBe(renderErrorDoc(code));
    }
    expect(readFileSync(new URL('README.md', folder), 'utf8')).toBe(renderErrorIndex());
  });
});

describe('OpenAPI', () => {
  it('is a valid 3.1 document that describes every route', async () => {
    const { body } = await api.call('GET', '/openapi.json', { token: null });
    const result = await new Validator().validate(structuredClone(body));
    expect(result.errors ?? []).toEqual([]);
    expect(body.openapi).toBe('3.1.0');
    const described = Object.entries(body.paths as Record<string, object>).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    const served = allRoutes({ secureCookies: false }).map((route) => `${route.method} ${route.path}`);
    expect(described.filter((one) => one.includes('/v1/')).sort()).toEqual(served.sort());
    const ids = Object.values(body.paths as Record<string, Record<string, { operationId: string }>>).flatMap((path) =>
      Object.values(path).map((operation) => operation.operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('says that every request body is closed and every secret goes in only', async () => {
    const { body } = await api.call('GET', '/openapi.json', { token: null });
    const { CreateDatabase, Database, CreateDestination } = body.components.schemas;
    expect(CreateDatabase.additionalProperties).toBe(false);
    expect(CreateDatabase.properties.password).toMatchObject({ format: 'password', writeOnly: true });
    expect(JSON.stringify(Database)).not.toMatch(/password|secret/i);
    expect(JSON.stringify(CreateDestination)).toContain('"additionalProperties":false');
  });
});

describe('limits', () => {
  it('slows one principal down and leaves others alone', async () => {
    const one = await api.createUser();
    const two = await api.createUser();
    const statuses: number[] = [];
    for (let index = 0; index < 65; index += 1) {
      statuses.push((await api.call('GET', '/v1/me', { token: one.token })).status);
    }
    expect(statuses.slice(0, 50).every((status) => status === 200)).toBe(true);
    const refused = await api.call('GET', '/v1/me', { token: one.token });
    expect(refused.status).toBe(429);
    expect(refused.body.code).toBe('rate_limited');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await api.call('GET', '/v1/me', { token: two.token })).status).toBe(200);
  });

  it('stops guessing a password after a few tries, while tokens and probes still work', async () => {
    const statuses: number[] = [];
    for (let index = 0; index < 5; index += 1) {
      const body = { email: 'admin@example.org', password: `guess ${index}` };
      statuses.push((await api.call('POST', '/v1/sessions', { token: null, body })).status);
    }
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
    expect((await api.call('GET', '/v1/me')).status).toBe(200);
    expect((await api.call('GET', '/healthz', { token: null })).status).toBe(200);
  });
});

describe('start and end', () => {
  it('refuses a master key that is not the one of the installation', async () => {
    const start = startApi({
      config: loadConfig({ TIDEMARK_HOME: api.home }),
      catalog: api.catalog,
      temporal: api.temporal.client,
      masterKey: newMasterKey(),
      logger: createLogger({ level: 'silent', name: 'api' }),
      port: 0,
    });
    await expect(start).rejects.toMatchObject({ code: 'wrong_master_key' });
  });

  it('lets a request that runs end before it closes, and takes no new one', async () => {
    const second = await startApi({
      config: loadConfig({ TIDEMARK_HOME: api.home }),
      catalog: api.catalog,
      temporal: api.temporal.client,
      masterKey: api.api.context.masterKey,
      logger: createLogger({ level: 'silent', name: 'api' }),
      port: 0,
    });
    // A request whose body is still on its way when the end begins.
    const body = JSON.stringify({ name: 'slow', scopes: ['read'] });
    const status = new Promise<number>((resolve, reject) => {
      const slow = request(
        {
          port: second.port,
          host: '127.0.0.1',
          method: 'POST',
          path: '/v1/tokens',
          headers: {
            authorization: `Bearer ${api.adminToken}`,
            'content-type': 'application/json',
            'content-length': body.length,
          },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      slow.on('error', reject);
      slow.write(body.slice(0, 5));
      setTimeout(() => slow.end(body.slice(5)), 800);
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const closed = second.close();
    await expect(fetch(`http://127.0.0.1:${second.port}/healthz`)).rejects.toThrow();
    expect(await status).toBe(201);
    await closed;
  });
});
