import { describe, expect, it } from 'vitest';
import { databaseInput, useApi } from '../support/api-stack.js';
import { usePrivateEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';

const metadata = usePrivateEngine('pg18');
const api = useApi({ metadata });

describe('an outage', () => {
  it('of the catalog is a 503 that says so, in seconds, and ends by itself', async () => {
    expect((await api.call('GET', '/v1/me')).status).toBe(200);
    await metadata.kill();
    for (const [method, path] of [
      ['GET', '/v1/databases'],
      ['GET', '/v1/me'],
      ['GET', '/metrics'],
    ] as const) {
      const started = Date.now();
      const answer = await api.call(method, path);
      expect([path, answer.status, answer.body?.code]).toEqual([path, 503, 'service_unavailable']);
      expect(answer.headers.get('retry-after')).toBe('5');
      expect(Date.now() - started).toBeLessThan(10_000);
      // What a driver says can hold addresses, names and passwords.
      expect(answer.text).not.toMatch(/ECONN|127\.0\.0\.1|postgres/i);
    }
    await until(
      async () => (await api.call('GET', '/readyz', { token: null })).body.components.catalog.ok === false,
      'readyz to notice',
      30_000,
    );
    expect((await api.call('GET', '/healthz', { token: null })).status).toBe(200);
    await metadata.restart();
    await until(async () => (await api.call('GET', '/v1/me')).status === 200, 'the API to work again', 30_000);
  });

  it('of Temporal keeps what is asked for, refuses a check with 503, and is said at readyz', async () => {
    await api.stopTemporal();
    const made = await api.call('POST', '/v1/databases', { body: databaseInput() });
    expect(made.status).toBe(201);
    const check = await api.call('POST', `/v1/databases/${made.body.id}/check`);
    expect([check.status, check.body.code]).toEqual([503, 'service_unavailable']);
    // The answer may be a second old.
    const ready = await until(
      async () => {
        const answer = await api.call('GET', '/readyz', { token: null });
        return answer.body.components.temporal.ok === false && answer;
      },
      'readyz to notice',
      30_000,
    );
    expect(ready.status).toBe(503);
    expect(ready.body.components.catalog.ok).toBe(true);
  });
});
