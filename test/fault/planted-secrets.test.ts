import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readStateFile } from '../../src/platform/state-file.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { createShop } from '../support/shop.js';
import { useTidemark } from '../support/tidemark.js';

const PASSWORD = `Pl4nted's "p@ss" %2F;$(id) \`x\``;

describe('secrets', () => {
  for (const product of ['pg17', 'mysql', 'mariadb'] as const) {
    describeEngine(product, product, () => {
      const tidemark = useTidemark({ LOG_LEVEL: 'trace' });
      const engine = useEngine(product);

      it('never reach argv, logs, answers, errors, workflow histories or object metadata', async () => {
        const database = await createShop(engine);
        const username = uniqueName('u').slice(0, 16);
        await createAccount(engine, username);
        const secrets = plantedForms([
          PASSWORD,
          tidemark.process.run().s3.secretAccessKey,
          tidemark.token,
          readMasterKey(tidemark.home),
        ]);
        const watch = watchCommandLines(secrets);
        const answers: string[] = [];
        const call = async (method: string, path: string, body?: unknown) => {
          const response = await tidemark.api.send(method, path, body);
          const text = await response.text();
          answers.push(`${method} ${path} ${[...response.headers].join()} ${text}`);
          return JSON.parse(text);
        };

        const databaseId = await tidemark.registerDatabase(engine, database, { username, password: PASSWORD });
        const wrongId = (
          await call('POST', '/v1/databases', {
            name: 'wrong password',
            engine: engine.engine,
            host: engine.host,
            port: engine.port,
            username,
            password: `${PASSWORD}x`,
            database,
          })
        ).id;
        const destinationId = await tidemark.createDestination(`secrets-${product}`);
        const planId = await tidemark.createPlan(databaseId, destinationId);
        await call('POST', `/v1/databases/${wrongId}/check`);
        await call('POST', `/v1/databases/${databaseId}/check`);
        await call('POST', `/v1/destinations/${destinationId}/check`);
        const backup = await tidemark.backUp(planId);
        expect(backup, JSON.stringify(backup.error)).toMatchObject({ status: 'completed' });
        const wrongPlan = await tidemark.createPlan(wrongId, destinationId);
        const failed = await tidemark.backUp(wrongPlan);
        expect(failed).toMatchObject({ status: 'failed', error: { code: 'authentication_failed' } });

        const copy = uniqueName('copy');
        const restore = await tidemark.restore({
          source: { kind: 'backup', backupId: backup.id },
          target: {
            kind: 'server',
            host: engine.host,
            port: engine.port,
            username,
            password: PASSWORD,
            database: copy,
          },
        });
        expect(restore, JSON.stringify(restore.error)).toMatchObject({ status: 'completed' });
        for (const path of [
          '/v1/databases',
          '/v1/destinations',
          '/v1/plans',
          '/v1/backups',
          '/v1/restores',
          '/v1/audit-events',
          '/v1/tokens',
          '/v1/me',
          `/v1/databases/${databaseId}`,
          `/v1/destinations/${destinationId}`,
          `/v1/backups/${backup.id}`,
          `/v1/backups/${failed.id}`,
          `/v1/restores/${restore.id}`,
        ])
          await call('GET', path);
        answers.push(await (await tidemark.api.send('GET', '/metrics')).text());

        const seen = await watch.stop();
        expect(watch.samples()).toBeGreaterThan(20);
        expect(seen, 'command lines').toEqual([]);
        expect(find(secrets, answers), 'answers').toEqual([]);
        expect(find(secrets, await histories(tidemark.home)), 'histories').toEqual([]);
        const files = logFiles(tidemark.home);
        expect(files.length).toBeGreaterThan(1);
        expect(
          find(
            secrets,
            files.map((path) => readFileSync(path, 'utf8')),
          ),
          `logs ${files.join(', ')}`,
        ).toEqual([]);
        const objects = storeFiles(tidemark.home).filter((path) => path.endsWith('.json'));
        expect(
          find(
            secrets,
            objects.map((path) => readFileSync(path, 'utf8')),
          ),
          'stored JSON',
        ).toEqual([]);
        await engine.dropDatabase(copy);
      });
    });
  }
});

/** Each secret as it is, base64 and URL-encoded. */
function plantedForms(secrets: readonly string[]): string[] {
  return secrets.flatMap((secret) => [
    secret,
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    Buffer.from(secret).toString('base64url'),
    encodeURIComponent(secret),
    new URLSearchParams({ s: secret }).toString().slice(2),
  ]);
}

function find(secrets: readonly string[], texts: readonly string[]): string[] {
  return texts.flatMap((text) =>
    secrets
      .filter((secret) => text.includes(secret))
      .map((secret) => text.slice(Math.max(0, text.indexOf(secret) - 200), text.indexOf(secret) + 20)),
  );
}

async function createAccount(engine: ReturnType<typeof useEngine>, username: string): Promise<void> {
  if (engine.engine === 'postgresql') {
    await engine.query(`create role ${username} superuser login password '${PASSWORD.replaceAll("'", "''")}'`);
    return;
  }
  await engine.query(`create user ${username}@'127.0.0.1' identified by '${PASSWORD.replaceAll("'", "''")}'`);
  await engine.query(`grant all privileges on *.* to ${username}@'127.0.0.1' with grant option`);
}

/** Reads every command line of the machine again and again until stopped: a secret in argv is seen by every user. */
function watchCommandLines(secrets: readonly string[]) {
  const found = new Set<string>();
  let samples = 0;
  let running = true;
  const loop = (async () => {
    while (running) {
      samples += 1;
      for (const pid of readdirSync('/proc')) {
        if (!/^\d+$/.test(pid)) continue;
        try {
          const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
          if (secrets.some((secret) => line.includes(secret))) found.add(line);
        } catch {
          // Ended between listing and reading.
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    samples: () => samples,
    async stop() {
      running = false;
      await loop;
      return [...found];
    },
  };
}

async function histories(home: string): Promise<string[]> {
  const ports = readStateFile(
    join(home, 'embedded.json'),
    z.object({ ports: z.record(z.string(), z.number()) }),
  )?.ports;
  const connection = await Connection.connect({ address: `127.0.0.1:${ports?.temporal}` });
  try {
    const client = new Client({ connection, namespace: 'tidemark' });
    const texts: string[] = [];
    for await (const info of client.workflow.list()) {
      const history = await client.workflow.getHandle(info.workflowId, info.runId).fetchHistory();
      texts.push(JSON.stringify(history, decodeBytes));
    }
    expect(texts.length).toBeGreaterThan(5);
    return texts;
  } finally {
    await connection.close();
  }
}

/** Payloads are bytes; a Buffer turns itself into an array of numbers before a replacer sees it, so the holder is asked. */
function decodeBytes(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const held = this[key];
  return held instanceof Uint8Array ? Buffer.from(held).toString('utf8') : value;
}

function logFiles(home: string): string[] {
  return readdirSync(home, { recursive: true, encoding: 'utf8' })
    .map((path) => join(home, path))
    .filter((path) => path.endsWith('.log') && !path.includes('/database/') && statSync(path).isFile());
}

function storeFiles(home: string): string[] {
  const root = join(home, 's3/data');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((path) => join(root, path))
    .filter((path) => statSync(path).isFile());
}

function readMasterKey(home: string): string {
  return readFileSync(join(home, 'master.key'), 'utf8').trim();
}
