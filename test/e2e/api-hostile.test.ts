/**
 * Bad input at every endpoint, taken from the OpenAPI document itself: a route that is added is swept without a line here. Always a
 * 4xx problem document, never a 500, and the catalog is the same before and after.
 */
import { get } from 'node:http';
import { beforeAll, describe, expect, it } from 'vitest';
import type { CallOptions } from '../support/api-stack.js';
import { databaseInput, useApi } from '../support/api-stack.js';
import type { Json } from '../support/hostile-input.js';
import {
  bodySchema,
  catalogState,
  faultOf,
  fieldsOf,
  makeObjects,
  nested,
  sweep,
  tricks,
  wrongTypes,
} from '../support/hostile-input.js';

const api = useApi();

type Operation = { readonly method: string; readonly path: string; readonly operation: Json };

let document: Json;
let operations: Operation[];
/** One real object per kind of id, so that a body is reached behind every path. */
const ids: Record<string, string> = {};

beforeAll(async () => {
  document = (await api.call('GET', '/openapi.json', { token: null })).body;
  operations = Object.entries(document.paths as Record<string, Record<string, Json>>)
    .filter(([path]) => path.startsWith('/v1/'))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
    );
  Object.assign(ids, await makeObjects(api));
});

const withIds = (path: string) =>
  withDatabase(path).replace(/^\/v1\/([\w-]+)\/\{id\}/, (_, collection: string) => {
    const id = ids[collection];
    if (!id) throw new Error(`the sweep has no object in ${collection}`);
    return `/v1/${collection}/${id}`;
  });

/** The second id of the paths that have one. */
const withDatabase = (path: string) => path.replace('{databaseId}', ids.databases ?? '');

describe('bad input at every endpoint', () => {
  it('finds every route in the document', () => {
    expect(operations.length).toBeGreaterThan(40);
  });

  it('refuses every call without authentication, before anything else is looked at', async () => {
    const requests = operations
      .filter(({ operation }) => operation.security.length > 0)
      .flatMap(({ method, path }) => [
        { what: 'without a token', method, path: withIds(path), options: { token: null } },
        {
          what: 'with a wrong token',
          method,
          path: withIds(path),
          options: { token: 'tmk_wrong', raw: method === 'GET' ? undefined : '{' },
        },
      ]);
    const faults: string[] = [];
    for (const { what, method, path, options } of requests) {
      const { raw, ...rest } = options as CallOptions;
      const answer = await api.call(method, path, raw === undefined ? rest : { ...rest, raw });
      if (answer.status !== 401) faults.push(`${method} ${path} ${what} -> ${answer.status}`);
    }
    expect(faults).toEqual([]);
  });

  it('answers unknown and impossible ids with 404', async () => {
    const paths = operations.filter(({ path }) => path.includes('{id}'));
    const requests = paths.flatMap(({ method, path, operation }) => {
      const known = withIds(path).split('/')[3] ?? '';
      const unknown = known.replace(/_.*/, '_zzzzzzzzzzzzzzzz');
      const bad = [
        '%2e%2e%2f%2e%2e',
        '%00',
        "'%20or%201=1",
        known.toUpperCase(),
        `${known}0`,
        `${known}%0a`,
        '*',
        '%ff%fe',
        '1',
        'x'.repeat(5000),
      ];
      const body = bodySchema(document, operation) ? { body: {} } : {};
      return [unknown, ...bad].map((id) => ({
        what: `id ${id.slice(0, 40)}`,
        method,
        path: withDatabase(path).replace('{id}', id),
        options: body,
      }));
    });
    expect(await sweep(api, requests)).toEqual([]);
  });

  it('takes no address for another one: dots, doubled slashes and encoded slashes stay what they are', async () => {
    const paths = [
      '/v1/plans/../restores',
      '/v1/../../etc/passwd',
      '//v1/databases',
      '/v1//databases',
      '/v1/%2e%2e/v1/me',
    ];
    const more = [
      '/v1%2fdatabases',
      '/docs/errors/../../package.json',
      '/docs/assets/%2e%2e/package.json',
      '/%c0%ae%c0%ae/',
      '/%zz',
    ];
    const faults: string[] = [];
    for (const path of [...paths, ...more]) {
      // Not by fetch, which resolves dots before it sends.
      const status = await new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${api.adminToken}` };
        get({ port: api.api.port, host: '127.0.0.1', path, headers }, (response) => {
          response.resume();
          resolve(response.statusCode);
        }).on('error', reject);
      });
      if (status !== 404 && status !== 400) faults.push(`${path} -> ${status}`);
    }
    expect(faults).toEqual([]);
  });

  it('refuses bodies that are not what they must be', async () => {
    const requests = operations
      .filter(({ method }) => method !== 'GET')
      .flatMap(({ method, path, operation }) => {
        const at = withIds(path);
        const raw: [string, string | Buffer<ArrayBuffer>, Record<string, string>?][] = [
          ['half a JSON', '{"name":'],
          ['a text', '"text"'],
          ['a list', '[]'.padEnd(10)],
          ['a number', '12345'],
          ['deep lists', `{"a":${nested(200_000, '[', ']')}}`],
          ['deep objects', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
          ['broken UTF-8', Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x3a, 0x31, 0x7d])],
          ['NUL', '{"name":"a\\u0000b"}'],
          ['a lone surrogate', '{"name":"\\ud800"}'],
          ['a prototype', '{"__proto__":{"role":"admin"},"constructor":{"prototype":{}}}'],
          ['2 MiB', JSON.stringify({ name: 'x'.repeat(2 * 1024 * 1024) })],
          ['a form', 'name=x', { 'content-type': 'application/x-www-form-urlencoded' }],
          ['XML', '<a/>', { 'content-type': 'application/xml' }],
          ['no type', '{}x', { 'content-type': 'text/plain' }],
          ['a zip bomb', 'x', { 'content-encoding': 'gzip' }],
          ['an unknown field', JSON.stringify({ 'unknown field': 1 })],
        ];
        // A route that takes no body takes an empty object for none.
        const bare = bodySchema(document, operation) ? [{ what: 'no body', method, path: at, options: {} }] : [];
        return [
          ...bare,
          ...raw.map(([what, text, headers]) => ({
            what,
            method,
            path: at,
            options: { raw: text, ...(headers ? { headers } : {}) },
          })),
        ];
      });
    expect(await sweep(api, requests)).toEqual([]);
  });

  it('refuses wrong types and tricks in every field of every body', async () => {
    const requests = operations.flatMap(({ method, path, operation }) => {
      const schema = bodySchema(document, operation);
      if (!schema) return [];
      const at = withIds(path);
      return fieldsOf(document, schema).flatMap((field) =>
        [...wrongTypes, ...tricks].map((value) => ({
          what: `${field}=${JSON.stringify(value)?.slice(0, 60)}`,
          method,
          path: at,
          // The unknown field makes every one of them wrong as a whole, whatever the one field would take.
          options: { body: { [field]: value, 'not a field': 1 } },
        })),
      );
    });
    expect(requests.length).toBeGreaterThan(1000);
    expect(await sweep(api, requests)).toEqual([]);
  });

  it('refuses tricks in one field of an otherwise good body, or stores them as the plain text they are', async () => {
    const { id: ownerless, ...good } = { id: '', ...databaseInput() };
    expect(ownerless).toBe('');
    const faults: string[] = [];
    for (const field of Object.keys(good)) {
      for (const value of [...wrongTypes, ...tricks]) {
        const answer = await api.call('POST', '/v1/databases', { body: { ...good, [field]: value } });
        if (answer.status === 201) {
          // Taken: then it must come back as it was sent (names are trimmed) and be what the schema of the answer says.
          const kept = answer.body[field];
          const same =
            field === 'password' ? kept === undefined : kept === (typeof value === 'string' ? value.trim() : value);
          const exact = field === 'database' || field === 'username' ? kept === value : same;
          if (!exact) faults.push(`${field}=${JSON.stringify(value)} came back as ${JSON.stringify(kept)}`);
          await api.call('DELETE', `/v1/databases/${answer.body.id}`);
        } else faults.push(...faultOf(`${field}=${JSON.stringify(value)?.slice(0, 60)}`, answer));
      }
    }
    expect(faults).toEqual([]);
  });

  it('refuses paths outside the roots, prefixes that climb, and endpoints that are no store', async () => {
    const s3 = {
      name: 'd',
      type: 's3',
      bucket: 'bucket',
      endpoint: 'http://127.0.0.1:9',
      accessKeyId: 'a',
      secretAccessKey: 'b',
    };
    const bodies = [
      ...[
        '/etc',
        '/',
        '/proc/self',
        `${api.home}/../..`,
        `${api.home}/a/../../b`,
        'relative',
        '',
        '/x\u0000',
        `${api.home}-beside`,
      ].map((path) => ({ name: 'd', type: 'directory', path })),
      ...['../up', 'a/../../b', '..', '.', 'a\\..\\b', 'a\u0000b', 'x'.repeat(2000)].map((prefix) => ({
        ...s3,
        prefix,
      })),
      ...['file:///etc', 'gopher://x', 'http://u:p@h', 'http://h/path', 'javascript:1', '//h', 'http://', 'h'].map(
        (endpoint) => ({
          ...s3,
          endpoint,
        }),
      ),
      ...['../b', 'B', 'a', 'a..b', 'x'.repeat(64), 'b?x', "b'"].map((bucket) => ({ ...s3, bucket })),
    ];
    const requests = bodies.map((body) => ({
      what: JSON.stringify(body).slice(0, 120),
      method: 'POST',
      path: '/v1/destinations',
      options: { body },
    }));
    expect(await sweep(api, requests)).toEqual([]);
  });

  it('refuses tricks in every query field of every list', async () => {
    const bad = [
      '%00',
      '%ed%a0%80',
      '%ff',
      '-1',
      '0',
      '1e99',
      "'%20or%20'1'='1",
      '..%2f..',
      '%0d%0aX-Evil:%201',
      'x'.repeat(3000),
      '[]',
    ];
    const faults: string[] = [];
    const before = await catalogState(api.catalog);
    for (const { method, path, operation } of operations.filter((one) => one.method === 'GET')) {
      const names = (operation.parameters ?? [])
        .filter((p: Json) => p.in === 'query')
        .map((p: Json) => p.name as string);
      for (const name of names) {
        for (const value of bad) {
          const at = `${withIds(path)}?${name}=${value}`;
          const answer = await api.call(method, at);
          // Free text is searched for, not refused; what matters is that it is no error of ours.
          if (name === 'q' || name === 'objectId' ? answer.status >= 500 : true) {
            if (answer.status !== 200) faults.push(...faultOf(at.slice(0, 120), answer));
            else if (!['q', 'objectId'].includes(name)) faults.push(`${at.slice(0, 120)} -> 200`);
          }
        }
      }
      for (const query of ['unknown=1', '__proto__=1', 'constructor=1', 'limit[]=1', 'limit=1&limit=2']) {
        if (path.endsWith('/check')) continue;
        faults.push(...faultOf(`${path}?${query}`, await api.call(method, `${withIds(path)}?${query}`)));
      }
    }
    if ((await catalogState(api.catalog)) !== before) faults.push('the catalog changed');
    expect(faults).toEqual([]);
  });

  it('refuses hostile header values and methods', async () => {
    const requests = [...['', ' ', 'é', 'x'.repeat(300), 'a b'].map((key) => ({ 'idempotency-key': key }))].flatMap(
      (headers) =>
        operations
          .filter(({ operation }) => (operation.parameters ?? []).some((p: Json) => p.name === 'Idempotency-Key'))
          .filter(({ operation }) => bodySchema(document, operation))
          .map(({ method, path }) => ({
            what: JSON.stringify(headers).slice(0, 60),
            method,
            path: withIds(path),
            options: { headers, body: {} },
          })),
    );
    const methods = [...new Set(operations.map(({ path }) => path))].flatMap((path) =>
      ['PUT', 'OPTIONS', 'PROPFIND', 'TRACK']
        .filter((one) => one !== 'TRACK')
        .map((method) => ({ what: '', method, path: withIds(path) })),
    );
    expect(await sweep(api, [...requests, ...methods])).toEqual([]);
  });

  it('still serves, and logged no unexpected error', async () => {
    expect((await api.call('GET', '/v1/databases')).status).toBe(200);
    expect(api.log()).not.toContain('A request failed unexpectedly');
  });
});
