import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import type { Server } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Client, Connection } from '@temporalio/client';
import { createTransport } from 'nodemailer';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { endLeftovers, lockHome, markerEnvironment } from '../../src/embedded/home-lock.js';
import { placeForServers } from '../../src/embedded/server-place.js';
import type { Embedded } from '../../src/embedded/start-embedded.js';
import { startEmbedded } from '../../src/embedded/start-embedded.js';
import { isRunning, markProcess, waitForEnd } from '../../src/platform/processes.js';
import { runChild } from '../../src/platform/run-child.js';
import { searchAttributeNames } from '../../src/workflows/names.js';
import { until } from '../support/until.js';

const logger = pino({ level: 'silent' });
const timings = {
  checkEveryMs: 200,
  failuresBeforeRestart: 3,
  firstPauseMs: 50,
  longestPauseMs: 500,
  calmAfterMs: 60_000,
};

function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'tm-embedded-'));
  // As root, the database runs as another user, who must be able to enter.
  chmodSync(home, 0o711);
  return home;
}

const start = (home: string, env: Record<string, string> = {}) =>
  startEmbedded({ config: loadConfig({ ...process.env, TIDEMARK_HOME: home, ...env }), logger, timings });

async function sql(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

const s3 = (embedded: Embedded) =>
  new S3Client({
    endpoint: embedded.s3.endpoint,
    region: embedded.s3.region,
    forcePathStyle: true,
    // A copy: the SDK writes into what it gets.
    credentials: { ...embedded.s3 },
  });

async function readMails(embedded: Embedded): Promise<{ id: string; subject: string }[]> {
  const response = await fetch(`${embedded.mail!.view}/messages`);
  return ((await response.json()) as { items: { id: string; subject: string }[] }).items;
}

async function putEverywhere(embedded: Embedded): Promise<void> {
  await sql(embedded.config.databaseUrl, 'CREATE TABLE kept (n int)');
  await sql(embedded.config.databaseUrl, 'INSERT INTO kept VALUES (7)');
  await s3(embedded).send(new PutObjectCommand({ Bucket: embedded.s3.bucket, Key: 'a/b', Body: 'kept' }));
  await createTransport(embedded.mail!.smtp).sendMail({
    from: 'a@b.c',
    to: 'd@e.f',
    subject: 'Kept ü',
    text: '<b>text</b>',
  });
  const connection = await Connection.connect({ address: embedded.config.temporal.address! });
  const client = new Client({ connection, namespace: 'tidemark' });
  await client.workflow.start('kept', { workflowId: 'kept', taskQueue: 'none', args: [] });
  await connection.close();
}

async function expectEverywhere(embedded: Embedded): Promise<void> {
  expect(await sql(embedded.config.databaseUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  const object = await s3(embedded).send(new GetObjectCommand({ Bucket: embedded.s3.bucket, Key: 'a/b' }));
  expect(await object.Body?.transformToString()).toBe('kept');
  const mails = await readMails(embedded);
  expect(mails).toMatchObject([{ subject: 'Kept ü', to: ['d@e.f'] }]);
  const connection = await Connection.connect({ address: embedded.config.temporal.address! });
  try {
    const client = new Client({ connection, namespace: 'tidemark' });
    expect((await client.workflow.getHandle('kept').describe()).status.name).toBe('RUNNING');
  } finally {
    await connection.close();
  }
}

describe('the embedded components', () => {
  const home = newHome();
  let embedded: Embedded;
  beforeAll(async () => {
    embedded = await start(home);
    await putEverywhere(embedded);
  });
  afterAll(async () => {
    await embedded?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  it('are four, and well', () => {
    expect(embedded.components.map(({ name, up }) => ({ name, up }))).toEqual(
      ['database', 'temporal', 's3', 'mail'].map((name) => ({ name, up: true })),
    );
  });

  it('listen on loopback only', async () => {
    const { stdout } = await runChild({ command: 'ss', args: ['-ltnpH'], env: {}, label: 'ss' });
    const pids = [process.pid, ...embedded.components.flatMap(({ pid }) => pid ?? [])];
    const own = stdout.split('\n').filter((line) => pids.some((pid) => line.includes(`pid=${pid},`)));
    // PostgreSQL, gRPC and Web UI, S3, SMTP, mail page at least: otherwise the filter found nothing.
    expect(own.length).toBeGreaterThanOrEqual(6);
    for (const line of own) expect(line.split(/\s+/)[3]).toMatch(/^(127\.0\.0\.1|\[::1\]):\d+$/);
  });

  it('show no credential in their arguments, and keep them in files that others cannot read', async () => {
    const { stdout } = await runChild({
      command: 'ps',
      args: ['-eo', 'args'],
      env: {},
      label: 'ps',
      maxStdoutBytes: 2 ** 26,
    });
    const password = new URL(embedded.config.databaseUrl).password;
    for (const secret of [embedded.s3.secretAccessKey, password]) expect(stdout).not.toContain(secret);
    expect(statSync(join(home, 'embedded.json')).mode & 0o077).toBe(0);
  });

  it('give Temporal a namespace that keeps histories for 30 days and knows the search attributes', async () => {
    const connection = await Connection.connect({ address: embedded.config.temporal.address! });
    try {
      const described = await connection.workflowService.describeNamespace({ namespace: 'tidemark' });
      expect(Number(described.config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 86_400);
      const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: 'tidemark' });
      expect(Object.keys(customAttributes ?? {})).toEqual(expect.arrayContaining(Object.values(searchAttributeNames)));
    } finally {
      await connection.close();
    }
    expect((await fetch(embedded.temporalUi!)).status).toBe(200);
  });

  it('show mail as text that cannot act, and answer to no foreign name', async () => {
    const view = embedded.mail!.view;
    const [mail] = await readMails(embedded);
    const page = await (await fetch(`${view}/messages/${mail?.id}.html`)).text();
    expect(page).toContain('&lt;b&gt;text');
    expect((await fetch(`${view}/messages/..%2f..%2fembedded/raw`)).status).toBe(404);
    const { stdout } = await runChild({
      command: 'curl',
      args: ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-H', 'Host: evil.example', view],
      env: {},
      label: 'curl',
    });
    expect(stdout).toBe('421');
  });

  it.each(['database', 'temporal', 's3'] as const)(
    '%s: killed, it comes back at its address with its data',
    async (name) => {
      const component = embedded.components.find((candidate) => candidate.name === name)!;
      const before = component.restarts;
      const pid = component.pid!;
      process.kill(pid, 'SIGKILL');
      await until(() => component.restarts > before, `${name} to be started again: ${component.lastError}`);
      expect(component.pid).not.toBe(pid);
      await expectEverywhere(embedded);
    },
  );

  it('s3: hanging, it is killed and started again', async () => {
    const component = embedded.components.find(({ name }) => name === 's3')!;
    const before = component.restarts;
    process.kill(component.pid!, 'SIGSTOP');
    await until(() => component.restarts > before, 's3 to be started again', 60_000);
    await expectEverywhere(embedded);
  }, 90_000);

  it('keep addresses, credentials and data over a restart', async () => {
    const addresses = () => [
      embedded.config.databaseUrl,
      embedded.config.temporal.address,
      embedded.s3,
      embedded.mail,
      embedded.temporalUi,
    ];
    const before = structuredClone(addresses());
    const pids = embedded.components.flatMap(({ pid }) => (pid === undefined ? [] : [markProcess(pid)!]));
    await embedded.stop();
    expect(pids.some(isRunning)).toBe(false);
    embedded = await start(home);
    expect(addresses()).toEqual(before);
    await expectEverywhere(embedded);
  });

  it('find another port when theirs is taken, and keep that one', async () => {
    await embedded.stop();
    const taken = Number(new URL(embedded.s3.endpoint).port);
    const squatter: Server = createServer().listen(taken, '127.0.0.1');
    await new Promise((resolve) => squatter.once('listening', resolve));
    embedded = await start(home);
    const other = Number(new URL(embedded.s3.endpoint).port);
    expect(other).not.toBe(taken);
    await expectEverywhere(embedded);
    await embedded.stop();
    await new Promise((resolve) => squatter.close(resolve));
    embedded = await start(home);
    expect(Number(new URL(embedded.s3.endpoint).port)).toBe(other);
  });

  it('leave out what the environment replaces, and do not disturb the others', async () => {
    const second = newHome();
    const own = await start(second, {
      DATABASE_URL: embedded.config.databaseUrl,
      TEMPORAL_ADDRESS: embedded.config.temporal.address!,
      SMTP_URL: embedded.mail!.smtp,
    });
    try {
      expect(own.components.map(({ name }) => name)).toEqual(['s3']);
      expect(own.config.databaseUrl).toBe(embedded.config.databaseUrl);
      expect(own.mail).toBeNull();
      expect(own.s3.endpoint).not.toBe(embedded.s3.endpoint);
    } finally {
      await own.stop();
      rmSync(second, { recursive: true, force: true });
    }
    await expectEverywhere(embedded);
  });
});

describe('a home', () => {
  const homes: string[] = [];
  const home = () => {
    const dir = newHome();
    homes.push(dir);
    return dir;
  };
  afterEach(() => {
    for (const dir of homes.splice(0)) rmSync(dir, { recursive: true, force: true });
  });

  // Only root starts servers as another user.
  it.runIf(process.getuid?.() === 0)(
    'that others cannot enter has its database outside, and finds it again',
    async () => {
      const closed = home();
      chmodSync(closed, 0o700);
      const dir = join(closed, 'state');
      let embedded = await start(dir);
      await sql(embedded.config.databaseUrl, 'CREATE TABLE kept AS SELECT 7 AS n');
      await embedded.stop();
      const place = placeForServers(dir);
      try {
        expect(place).toMatch(/^\/var\/lib\/tidemark\//);
        expect(existsSync(join(place, 'database/data'))).toBe(true);
        expect(existsSync(join(dir, 'database'))).toBe(false);
        embedded = await start(dir);
        expect(await sql(embedded.config.databaseUrl, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
        await embedded.stop();
      } finally {
        rmSync(place, { recursive: true, force: true });
      }
    },
  );

  it('is used by one at a time, and free again afterwards', async () => {
    const dir = home();
    const lock = await lockHome(dir);
    await expect(lockHome(dir)).rejects.toMatchObject({
      code: 'already_running',
      message: expect.stringContaining(dir),
    });
    await lock.release();
    await (await lockHome(dir)).release();
  });

  it('that starts at the same moment as another one gets ports of its own', async () => {
    const both = await Promise.all([start(home()), start(home())]);
    try {
      await Promise.all(both.map(putEverywhere));
      await Promise.all(both.map(expectEverywhere));
    } finally {
      await Promise.all(both.map((embedded) => embedded.stop()));
    }
  });

  it('is free again when its user was killed, and nothing of it runs on', async () => {
    const dir = home();
    const script = `
      import { lockHome } from './src/embedded/home-lock.ts';
      import { startEmbedded } from './src/embedded/start-embedded.ts';
      import { loadConfig } from './src/config.ts';
      import { pino } from 'pino';
      await lockHome(${JSON.stringify(dir)});
      const embedded = await startEmbedded({ config: loadConfig({ ...process.env, TIDEMARK_HOME: ${JSON.stringify(dir)} }), logger: pino({ level: 'silent' }) });
      process.stdout.write(JSON.stringify(embedded.components.flatMap((c) => c.pid ?? [])) + '\\n');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: join(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data))));
    const marks = (JSON.parse(line) as number[]).map((pid) => markProcess(pid)!);
    expect(marks).toHaveLength(3);
    child.kill('SIGKILL');
    expect(await waitForEnd(marks, 30_000)).toBe(true);
    const lock = await until(() => lockHome(dir).catch(() => undefined), 'the lock to be free');
    const again = await start(dir);
    expect(again.components.every(({ up }) => up)).toBe(true);
    await again.stop();
    await lock.release();
  });

  it('ends what an earlier run left behind, and nothing else', async () => {
    const dir = home();
    const other = home();
    const lock = await lockHome(dir);
    const otherLock = await lockHome(other);
    const leave = (of: string) => {
      // Not with spawnChild: this one must outlive its parent's care.
      const child = spawn('sh', ['-c', 'setsid sleep 600 & echo $!'], {
        env: { ...process.env, ...markerEnvironment(of) },
      });
      return new Promise<number>((resolve) => child.stdout.once('data', (data) => resolve(Number(data))));
    };
    const mine = markProcess(await leave(dir))!;
    const foreign = markProcess(await leave(other))!;
    expect(await endLeftovers(dir, logger)).toBeGreaterThanOrEqual(1);
    expect(isRunning(mine)).toBe(false);
    expect(isRunning(foreign)).toBe(true);
    await endLeftovers(other, logger);
    expect(isRunning(foreign)).toBe(false);
    await lock.release();
    await otherLock.release();
  });
});
