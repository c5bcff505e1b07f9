import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { toolPath } from '../../src/platform/installed.js';
import { findFreePort } from '../../src/platform/ports.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { imageEntrypoint, readComposeFile, substitute } from '../support/compose-file.js';
import { useEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';

/**
 * The services of docker-compose.yml as plain processes: the built tree as the image holds it, each service's own command and environment.
 * Only the names of other services become loopback addresses, and /var/lib/tidemark a folder per service, as a volume would be.
 */
const root = resolve(import.meta.dirname, '../..');
const compose = readComposeFile();
const secrets: Record<string, string> = {
  TIDEMARK_MASTER_KEY: randomBytes(32).toString('base64'),
  TIDEMARK_ADMIN_EMAIL: 'admin@example.com',
  TIDEMARK_ADMIN_PASSWORD: randomBytes(12).toString('hex'),
  CATALOG_PASSWORD: randomBytes(12).toString('hex'),
  S3_ACCESS_KEY: 'composetest',
  S3_SECRET_KEY: randomBytes(12).toString('hex'),
};

const catalog = useEngine('pg17');
let folder: string;
/** `catalog-db:5432` -> `127.0.0.1:<port>`. */
const addresses = new Map<string, string>();
const running = new Map<string, Child>();

/** The image's /app: what the Dockerfile's last stage copies, and nothing else of the checkout. */
function buildImageTree(): void {
  const app = join(folder, 'app');
  mkdirSync(app);
  execFileSync(process.execPath, [
    join(root, 'node_modules/typescript/bin/tsc'),
    '-p',
    join(root, 'tsconfig.build.json'),
    // Types are the gate's matter, not this test's.
    '--noCheck',
    '--outDir',
    join(app, 'dist'),
  ]);
  const bundler = pathToFileURL(join(app, 'dist/workers/build-bundle.js')).href;
  for (const name of ['node_modules', 'prisma', 'package.json']) symlinkSync(join(root, name), join(app, name));
  execFileSync(process.execPath, ['-e', `import('${bundler}').then((m) => m.writeBundle())`]);
}

function local(text: string): string {
  let result = substitute(text, secrets);
  for (const [name, address] of addresses) result = result.replaceAll(name, address);
  return result;
}

/** Starts one of our services as Compose would. */
function startService(name: string): Child {
  const service = compose.services[name];
  if (!service) throw new Error(`no service ${name}`);
  const env = Object.fromEntries(Object.entries(service.environment ?? {}).map(([key, value]) => [key, local(value)]));
  const home = join(folder, name);
  mkdirSync(home, { recursive: true });
  const entrypoint = service.entrypoint ?? imageEntrypoint();
  expect(entrypoint[0], 'what the image starts').toBe('node');
  const child = spawnChild({
    command: process.execPath,
    // The flags of Node that the service gives beside the image's own entry point.
    args: [...entrypoint.slice(1), ...(service.command ?? []).map(local)],
    cwd: join(folder, 'app'),
    // The Dockerfile's ENV, then the service's own. The published port is a free one here.
    env: {
      NODE_ENV: 'production',
      TIDEMARK_HOME: home,
      HOME: home,
      ...env,
      ...(env.PORT ? { PORT: new URL(`http://${addresses.get('api:7400')}`).port, TIDEMARK_BIND: '127.0.0.1' } : {}),
    },
    stdout: 'tail',
    label: name,
    graceMs: 40_000,
  });
  running.set(name, child);
  return child;
}

const apiUrl = () => `http://${addresses.get('api:7400')}`;

async function pollers(queue: string): Promise<number> {
  const connection = await Connection.connect({ address: addresses.get('temporal:7233') ?? '' });
  try {
    const { pollers: found } = await connection.workflowService.describeTaskQueue({
      namespace: 'tidemark',
      taskQueue: { name: queue },
      // Activities: every queue has those, only `control` has workflows.
      taskQueueType: 2,
    });
    return new Set(found?.map(({ identity }) => identity)).size;
  } finally {
    await connection.close();
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tm-compose-'));
  chmodSync(folder, 0o700);
  buildImageTree();
  for (const name of ['temporal:7233', 's3:7070', 'mail:1025', 'api:7400'])
    addresses.set(name, `127.0.0.1:${await findFreePort()}`);
  addresses.set('catalog-db:5432', `127.0.0.1:${catalog.port}`);

  // The images of others are not at hand; the same programs are, and get what the service's environment says.
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = compose.services['catalog-db']?.environment ?? {};
  await catalog.query(`CREATE ROLE ${POSTGRES_USER} LOGIN PASSWORD '${substitute(POSTGRES_PASSWORD ?? '', secrets)}'`);
  await catalog.query(`CREATE DATABASE ${POSTGRES_DB} OWNER ${POSTGRES_USER}`);

  const [, temporalPort] = (addresses.get('temporal:7233') ?? '').split(':');
  const namespace = compose.services.temporal?.environment?.DEFAULT_NAMESPACE ?? '';
  const temporal = spawnChild({
    command: toolPath('temporal', loadConfig().install) ?? 'temporal',
    args: [
      'server',
      'start-dev',
      '--headless',
      '--ip=127.0.0.1',
      `--port=${temporalPort}`,
      `--namespace=${namespace}`,
      '--log-level=error',
    ],
    env: { HOME: folder },
    stdout: 'tail',
    label: 'temporal',
  });
  running.set('temporal', temporal);

  const s3 = compose.services.s3;
  const data = join(folder, 's3-data');
  // What the service s3-bucket does.
  execFileSync(
    'mkdir',
    (compose.services['s3-bucket']?.command ?? []).slice(1).map((word) => word.replace('/data', data)),
  );
  const s3Port = addresses.get('s3:7070')?.split(':')[1] ?? '';
  running.set(
    's3',
    spawnChild({
      command: toolPath('versitygw', loadConfig().install) ?? 'versitygw',
      args: (s3?.command ?? []).map((word) => (word === ':7070' ? `127.0.0.1:${s3Port}` : word.replace('/data', data))),
      env: Object.fromEntries(Object.entries(s3?.environment ?? {}).map(([key, value]) => [key, local(value)])),
      stdout: 'tail',
      label: 's3',
    }),
  );
  for (const name of ['api', 'worker-1', 'worker-2']) startService(name);
});

afterAll(async () => {
  await Promise.all([...running.values()].map((child) => child.kill()));
  await catalog.query('DROP DATABASE IF EXISTS tidemark WITH (FORCE)').catch(() => undefined);
  await catalog.query('DROP ROLE IF EXISTS tidemark').catch(() => undefined);
  rmSync(folder, { recursive: true, force: true });
});

describe('the services of docker-compose.yml, started as processes from the built tree', () => {
  it('become ready, with two workers on every queue', async () => {
    const ready = async () => (await fetch(`${apiUrl()}/readyz`).catch(() => null))?.ok;
    await until(ready, 'the api to be ready', 90_000);
    for (const queue of ['control', 'data', 'stream']) {
      await until(async () => (await pollers(queue)) === 2, `two workers on ${queue}`, 90_000);
    }
  });

  it('pass the health check that the file gives the api', () => {
    const [kind, command, ...args] = compose.services.api?.healthcheck?.test ?? [];
    expect([kind, command]).toEqual(['CMD', 'node']);
    const port = new URL(apiUrl()).port;
    execFileSync(
      process.execPath,
      args.map((word) => word.replace('7400', port)),
    );
  });

  it('let the first admin in and reach the store under its service name', async () => {
    const { TIDEMARK_ADMIN_EMAIL: email, TIDEMARK_ADMIN_PASSWORD: password } = secrets;
    const post = (path: string, body: unknown, cookie = '') =>
      fetch(`${apiUrl()}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', origin: apiUrl(), cookie },
        body: JSON.stringify(body),
      });
    const session = await post('/v1/sessions', { email, password });
    expect(session.status, await session.clone().text()).toBeLessThan(300);
    const cookie = session.headers
      .getSetCookie()
      .map((line) => line.split(';')[0])
      .join('; ');
    const created = await post(
      '/v1/destinations',
      {
        name: 'store',
        type: 's3',
        endpoint: local('http://s3:7070'),
        bucket: 'tidemark',
        region: 'us-east-1',
        accessKeyId: secrets.S3_ACCESS_KEY,
        secretAccessKey: secrets.S3_SECRET_KEY,
        forcePathStyle: true,
      },
      cookie,
    );
    const destination = (await created.json()) as { id: string };
    expect(created.status, JSON.stringify(destination)).toBe(201);
    const checked = await post(`/v1/destinations/${destination.id}/check`, {}, cookie);
    const text = await checked.text();
    expect(checked.status, text).toBe(200);
    const read = await fetch(`${apiUrl()}/v1/destinations/${destination.id}`, { headers: { cookie } });
    expect(await read.json()).toMatchObject({ credentialsVerifiedAt: expect.any(String) });
    expect(existsSync(join(folder, 's3-data/tidemark/tidemark/v1/owner.json')), 'claimed in the bucket').toBe(true);
  });

  it('end in order when Compose stops them, well within the grace', async () => {
    const names = ['api', 'worker-1', 'worker-2'];
    const exits = names.map(async (name) => {
      const child = running.get(name);
      if (child?.pid === undefined) throw new Error(`${name} does not run`);
      process.kill(child.pid, 'SIGTERM');
      return [name, (await child.exited).code];
    });
    expect(await Promise.all(exits)).toEqual(names.map((name) => [name, 0]));
  });
});
