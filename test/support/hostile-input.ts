/** What the sweep of hostile input is made of: the input, the requests, and how the catalog is watched meanwhile. */
import type { Catalog } from '../../src/catalog/client.js';
import type { Answer, ApiStack, CallOptions } from './api-stack.js';
import { databaseInput } from './api-stack.js';

// biome-ignore lint/suspicious/noExplicitAny: a JSON document of any shape.
export type Json = any;
export type HostileRequest = { what: string; method: string; path: string; options?: CallOptions };

/** Everything the catalog holds except what every request may touch: when a token was last used. */
export async function catalogState(catalog: Catalog): Promise<string> {
  const tables = await catalog.prisma.$queryRaw<{ name: string }[]>`
    select tablename as name from pg_tables where schemaname = 'public' order by 1`;
  const state: Record<string, unknown> = {};
  for (const { name } of tables) {
    const rows = await catalog.prisma.$queryRawUnsafe<{ row: Json }[]>(
      `select to_jsonb(t) - 'lastUsedAt' - 'updatedAt' as row from "${name}" t order by to_jsonb(t)::text`,
    );
    state[name] = rows.map(({ row }) => row);
  }
  return JSON.stringify(state);
}

export function faultOf(what: string, answer: Answer): string[] {
  const shown = `${what} -> ${answer.status} ${answer.text.slice(0, 300)}`;
  if (answer.status < 400 || answer.status > 499) return [shown];
  if (!answer.headers.get('content-type')?.startsWith('application/problem+json')) return [`${shown} (no problem)`];
  const complete =
    answer.body.status === answer.status && typeof answer.body.code === 'string' && answer.body.requestId;
  return complete ? [] : [`${shown} (incomplete problem)`];
}

/** Sends everything; returns what was not answered as it should be, or changed something. */
export async function sweep(api: ApiStack, requests: readonly HostileRequest[]): Promise<string[]> {
  const before = await catalogState(api.catalog);
  const faults: string[] = [];
  for (const { what, method, path, options } of requests) {
    faults.push(...faultOf(`${method} ${path} ${what}`, await api.call(method, path, options)));
  }
  if ((await catalogState(api.catalog)) !== before) faults.push('the catalog changed');
  return faults;
}

export const tricks = [
  ...['../../etc/passwd', '..\\..\\windows', '....//....//', '/etc/shadow', '~root', 'file:///etc/passwd', './', '-rf'],
  ...['\'; drop table "User"; --', '" or 1=1 --', '1; select pg_sleep(10)', "\\'; --", '%27%20or%201=1'],
  ...['$(reboot)', '`id`', '; touch /tmp/x', '| cat', '&& true', '\n--host=evil', '$HOME', '%n%s', '--version'],
  ...['\u0000', 'a\u0000b', '\ud800', 'x\udfff', '\u202eexe', '\u2028', '\u001b[2J', '\ufeff', ' ', ''],
  ...['x'.repeat(100_000), '😀'.repeat(50_000), '{{7*7}}', '<script>alert(1)</script>', 'NaN', 'null', '__proto__'],
];
export const wrongTypes: unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  '',
  'x',
  [],
  [[]],
  {},
  { a: 1 },
  [null],
  Number.MAX_SAFE_INTEGER,
];
export const nested = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth);

export function bodySchema(document: Json, operation: Json): Json | null {
  const schema = operation.requestBody?.content['application/json'].schema;
  return schema ? resolve(document, schema) : null;
}

function resolve(document: Json, schema: Json): Json {
  if (!schema?.$ref) return schema;
  return resolve(document, document.components.schemas[String(schema.$ref).split('/').at(-1) ?? '']);
}

/** The fields of a body, over all its variants. */
export function fieldsOf(document: Json, schema: Json): string[] {
  const found = resolve(document, schema);
  const variants = [...(found.oneOf ?? []), ...(found.anyOf ?? []), ...(found.allOf ?? [])];
  return [
    ...new Set([...Object.keys(found.properties ?? {}), ...variants.flatMap((variant) => fieldsOf(document, variant))]),
  ];
}

/** One object per collection, made over the API where it makes them without a worker; answers their ids. */
export async function makeObjects(api: ApiStack): Promise<Record<string, string>> {
  const me = (await api.call('GET', '/v1/me')).body;
  const db = api.catalog.prisma;
  const database = (await api.call('POST', '/v1/databases', { body: databaseInput() })).body;
  const destination = await db.destination.create({
    data: { id: 'dst_0000000000000001', name: 'store', type: 's3', bucket: 'b', ownerId: me.id },
  });
  const links = { databaseId: database.id, destinationId: destination.id };
  const plan = await db.plan.create({
    data: { id: 'plan_0000000000000001', name: 'p', schedule: { type: 'manual' }, ownerId: me.id, ...links },
  });
  const backup = await db.backup.create({
    data: { id: 'bkp_0000000000000001', kind: 'dump', status: 'failed', trigger: 'manual', planId: plan.id, ...links },
  });
  const target = { kind: 'original', databaseId: database.id, host: 'h', port: 1, username: 'u', database: 'd' };
  const restore = await db.restore.create({
    data: {
      id: 'rst_0000000000000001',
      status: 'failed',
      source: { kind: 'backup', backupId: backup.id },
      target,
      backupId: backup.id,
      databaseId: database.id,
      planId: plan.id,
      targetHost: 'h',
      targetPort: 1,
      targetUsername: 'u',
      targetSecretId: 'sec_0000000000000001',
      targetName: 'd',
      triggeredBy: me.id,
    },
  });
  const server = await db.server.create({
    data: { id: 'srv_0000000000000001', engine: 'postgresql', identity: 'pg:1', version: '17.1', major: '17' },
  });
  const policy = await db.policy.create({
    data: {
      id: 'pol_0000000000000001',
      name: 'policy',
      ownerId: me.id,
      destinationId: destination.id,
      schedule: { full: { frequency: 'daily', time: '02:30' }, incremental: 'none' },
      pitr: true,
      retention: {},
      status: 'active',
    },
  });
  const user = await api.createUser();
  const token = (await api.call('POST', '/v1/tokens', { body: { name: 't', scopes: ['read'] } })).body;
  return {
    databases: database.id,
    destinations: destination.id,
    plans: plan.id,
    policies: policy.id,
    backups: backup.id,
    restores: restore.id,
    servers: server.id,
    users: user.id,
    tokens: token.id,
    sessions: 'ses_0000000000000000',
  };
}
