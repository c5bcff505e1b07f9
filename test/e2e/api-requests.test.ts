import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { idempotencyLifetimeMs } from '../../src/usecases/requests/claim-idempotency-key.js';
import type { Answer } from '../support/api-stack.js';
import { databaseInput, useApi } from '../support/api-stack.js';

const api = useApi();

const countDatabases = () => api.catalog.prisma.database.count();

function expectProblem(answer: Answer, status: number, code: string): void {
  expect([answer.status, answer.body?.code]).toEqual([status, code]);
  expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  expect(answer.body).toMatchObject({ status, type: `/docs/errors/${code}` });
  for (const field of ['title', 'detail', 'remedy', 'requestId']) expect(answer.body[field]).toMatch(/\S/);
}

describe('problems', () => {
  it('names every wrong field, what it takes, and the request', async () => {
    const answer = await api.call('POST', '/v1/databases', {
      body: { ...databaseInput(), port: 'x', engine: 'oracle', extra: 1, name: undefined },
      headers: { 'x-request-id': 'my-own-id-0001' },
    });
    expectProblem(answer, 400, 'invalid_request');
    expect(answer.headers.get('x-request-id')).toBe('my-own-id-0001');
    expect(answer.body).toMatchObject({ requestId: 'my-own-id-0001', instance: '/v1/databases' });
    expect(
      Object.fromEntries(answer.body.errors.map((e: { field: string; message: string }) => [e.field, e.message])),
    ).toEqual({
      '/name': 'is required',
      '/port': 'must be a number',
      '/engine': 'must be one of "postgresql", "mysql", "mariadb"',
      '/extra': 'is not a known field',
    });
  });

  it('makes a request id of its own where the given one is not a plain word', async () => {
    const answer = await api.call('GET', '/v1/me', { headers: { 'x-request-id': 'a b"; drop' } });
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(api.log()).toContain(answer.headers.get('x-request-id'));
  });

  it('serves the page that the type leads to, in both forms', async () => {
    const { body } = await api.call('GET', '/nowhere');
    const html = await api.call('GET', body.type, { token: null, headers: { accept: 'text/html' } });
    expect(html.status).toBe(200);
    expect(html.text).toContain('<code>not_found</code>');
    const markdown = await api.call('GET', body.type, { token: null, headers: { accept: 'text/markdown' } });
    expect(markdown.text).toMatch(/^# There is no such object/);
    expectProblem(await api.call('GET', '/docs/errors/__proto__'), 404, 'not_found');
  });

  it('answers an unknown address with 404 and a known one with another method with 405 and Allow', async () => {
    expectProblem(await api.call('GET', '/v1/nothing'), 404, 'not_found');
    expectProblem(await api.call('GET', '/V1/databases'), 404, 'not_found');
    expectProblem(await api.call('GET', '/v1/databases/'), 404, 'not_found');
    const answer = await api.call('PUT', '/v1/databases', { body: {} });
    expectProblem(answer, 405, 'method_not_allowed');
    expect(answer.headers.get('allow')).toBe('GET, HEAD, POST');
  });

  it('reads JSON alone: type, encoding, size, depth, text', async () => {
    const post = (raw: string | Buffer<ArrayBuffer>, headers: Record<string, string> = {}) =>
      api.call('POST', '/v1/databases', { raw, headers });
    expectProblem(
      await post('a=1', { 'content-type': 'application/x-www-form-urlencoded' }),
      415,
      'unsupported_media_type',
    );
    expectProblem(
      await post('{}', { 'content-type': 'application/json; charset=latin1' }),
      415,
      'unsupported_media_type',
    );
    expectProblem(await post('{}', { 'content-encoding': 'gzip' }), 415, 'unsupported_media_type');
    expectProblem(await post(`{"name":"${'x'.repeat(1024 * 1024)}"}`), 413, 'payload_too_large');
    expectProblem(await post('{"name":'), 400, 'invalid_request');
    expectProblem(await post(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`), 400, 'invalid_request');
    expectProblem(await post(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 400, 'invalid_request');
    expectProblem(await post('{"name":"\\u0000"}'), 400, 'invalid_request');
    expectProblem(await post('{"name":"\\ud800"}'), 400, 'invalid_request');
    expectProblem(await post('{"__proto__":{"role":"admin"}}'), 400, 'invalid_request');
    // A password inside broken JSON must not come back in the answer.
    const broken = await post('{"password":"hunter2-hunter2" oops');
    expect(broken.text).not.toContain('hunter2');
  });

  it('answers broken HTTP and oversized headers without dying', async () => {
    const raw = (text: string) =>
      new Promise<string>((resolve, reject) => {
        let got = '';
        const socket = connect(api.api.port, '127.0.0.1', () => socket.write(text));
        socket.on('data', (chunk) => {
          got += chunk;
        });
        socket.on('close', () => resolve(got));
        socket.on('error', reject);
      });
    expect(await raw('NONSENSE\r\n\r\n')).toMatch(
      /^HTTP\/1.1 400 [\s\S]*application\/problem\+json[\s\S]*invalid_request/,
    );
    expect(await raw(`GET /v1/me HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(40_000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 4/);
    expect((await api.call('GET', '/healthz')).status).toBe(200);
  });
});

describe('idempotency', () => {
  it('carries out a repeated request once and answers with the resource as it is now', async () => {
    const body = databaseInput();
    const headers = { 'idempotency-key': 'create-shop-1' };
    const first = await api.call('POST', '/v1/databases', { body, headers });
    const before = await countDatabases();
    await api.call('PATCH', `/v1/databases/${first.body.id}`, { body: { name: 'renamed' } });
    // The same JSON in another order is the same request.
    const reordered = Object.fromEntries(Object.entries(body).reverse());
    const second = await api.call('POST', '/v1/databases', { body: reordered, headers });
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect(second.body).toMatchObject({ id: first.body.id, name: 'renamed' });
    expect(await countDatabases()).toBe(before);
  });

  it('carries out one of many requests at once', async () => {
    const body = databaseInput();
    const headers = { 'idempotency-key': 'many-at-once' };
    const before = await countDatabases();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => api.call('POST', '/v1/databases', { body, headers })),
    );
    expect(await countDatabases()).toBe(before + 1);
    expect(new Set(answers.filter((one) => one.status === 201).map((one) => one.body.id)).size).toBe(1);
    for (const one of answers) expect([201, 409]).toContain(one.status);
  });

  it('refuses the key with another body, and gives another user or route a key of their own', async () => {
    const headers = { 'idempotency-key': 'shared-name' };
    await api.call('POST', '/v1/databases', { body: databaseInput(), headers });
    const reused = await api.call('POST', '/v1/databases', { body: databaseInput(), headers });
    expectProblem(reused, 422, 'idempotency_key_reused');
    const other = await api.createUser();
    const theirs = await api.call('POST', '/v1/databases', { token: other.token, body: databaseInput(), headers });
    expect(theirs.status).toBe(201);
    const elsewhere = await api.call('POST', '/v1/tokens', { body: { name: 'x', scopes: ['read'] }, headers });
    expect(elsewhere.status).toBe(201);
  });

  it('frees the key of a refused request, so that it can be corrected', async () => {
    const headers = { 'idempotency-key': 'corrected-later' };
    const wrong = { ...databaseInput(), primaryId: 'db_0000000000000000' };
    expectProblem(await api.call('POST', '/v1/databases', { body: wrong, headers }), 400, 'invalid_request');
    expect((await api.call('POST', '/v1/databases', { body: databaseInput(), headers })).status).toBe(201);
  });

  it('replays a token without its secret', async () => {
    const options = { body: { name: 'once', scopes: ['read'] }, headers: { 'idempotency-key': 'token-once' } };
    const first = await api.call('POST', '/v1/tokens', options);
    const second = await api.call('POST', '/v1/tokens', options);
    expect(second.body.id).toBe(first.body.id);
    expect(second.body).not.toHaveProperty('token');
    expect(second.text).not.toContain(first.body.token);
  });

  it('forgets a key after 24 hours, and takes over one whose process died', async () => {
    const headers = { 'idempotency-key': 'ages' };
    const first = await api.call('POST', '/v1/databases', { body: databaseInput(), headers });
    const row = await api.catalog.prisma.idempotencyKey.findFirstOrThrow({ where: { key: 'ages' } });
    expect(row.expiresAt.getTime() - row.createdAt.getTime()).toBeGreaterThan(idempotencyLifetimeMs - 10_000);
    await api.catalog.prisma.idempotencyKey.update({ where: { id: row.id }, data: { expiresAt: new Date() } });
    const second = await api.call('POST', '/v1/databases', { body: databaseInput(), headers });
    expect(second.status).toBe(201);
    expect(second.body.id).not.toBe(first.body.id);
    const body = databaseInput();
    const third = { body, headers: { 'idempotency-key': 'orphan' } };
    await api.call('POST', '/v1/databases', third);
    const orphan = { resourceId: null, statusCode: null };
    await api.catalog.prisma.idempotencyKey.updateMany({ where: { key: 'orphan' }, data: orphan });
    expectProblem(await api.call('POST', '/v1/databases', third), 409, 'conflict');
    const long = new Date(Date.now() - 600_000);
    await api.catalog.prisma.idempotencyKey.updateMany({ where: { key: 'orphan' }, data: { createdAt: long } });
    expect((await api.call('POST', '/v1/databases', third)).status).toBe(201);
  });

  it('keeps no trace of a password in the catalog beside the sealed secret', async () => {
    const body = databaseInput();
    await api.call('POST', '/v1/databases', { body, headers: { 'idempotency-key': 'with-password' } });
    const rows = JSON.stringify([
      await api.catalog.prisma.idempotencyKey.findMany(),
      await api.catalog.prisma.secret.findMany(),
      await api.catalog.prisma.auditEvent.findMany(),
    ]);
    expect(rows).not.toContain(body.password);
    expect(api.log()).not.toContain(body.password);
  });
});

describe('lists', () => {
  it('walks every item once, newest first, while items are added', async () => {
    const { token } = await api.createUser();
    const ids: string[] = [];
    for (let index = 0; index < 7; index += 1) {
      ids.push((await api.call('POST', '/v1/databases', { token, body: databaseInput() })).body.id);
    }
    const seen: string[] = [];
    let path: string | null = '/v1/databases?limit=3';
    while (path !== null) {
      const page: Answer = await api.call('GET', path, { token });
      expect(page.status).toBe(200);
      seen.push(...page.body.items.map((item: { id: string }) => item.id));
      if (seen.length === 3) await api.call('POST', '/v1/databases', { token, body: databaseInput() });
      path = page.body.nextCursor && `/v1/databases?limit=3&cursor=${page.body.nextCursor}`;
    }
    expect(seen).toEqual(ids.reverse());
  });

  it('refuses a cursor with other filters, of another list, or made up', async () => {
    for (let index = 0; index < 3; index += 1) await api.call('POST', '/v1/databases', { body: databaseInput() });
    const { nextCursor } = (await api.call('GET', '/v1/databases?limit=1')).body;
    expect(nextCursor).toMatch(/^[A-Za-z0-9_-]+$/);
    for (const path of [
      `/v1/databases?engine=mysql&cursor=${nextCursor}`,
      `/v1/users?cursor=${nextCursor}`,
      '/v1/databases?cursor=bm90aGluZw',
    ]) {
      expectProblem(await api.call('GET', path), 400, 'invalid_cursor');
    }
    const other = await api.createUser();
    const stolen = await api.call('GET', `/v1/databases?limit=1&cursor=${nextCursor}`, { token: other.token });
    expectProblem(stolen, 400, 'invalid_cursor');
  });

  it('refuses unknown, repeated and out-of-range query fields by name', async () => {
    for (const [query, field] of [
      ['limit=0', 'limit'],
      ['limit=201', 'limit'],
      ['limit=5&limit=6', 'limit'],
      ['colour=red', 'colour'],
      ['engine=oracle', 'engine'],
    ]) {
      const answer = await api.call('GET', `/v1/databases?${query}`);
      expectProblem(answer, 400, 'invalid_request');
      expect(answer.body.errors[0].field).toBe(field);
    }
  });
});
