import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import {
  createPlantedAccount,
  findSecrets as find,
  logFiles,
  PLANTED_PASSWORD as PASSWORD,
  plantedForms,
  readHistories,
  readMasterKey,
  storeFiles,
  watchCommandLines,
} from '../support/planted-secrets.js';
import { createShop } from '../support/shop.js';
import { useTidemark } from '../support/tidemark.js';

describe('secrets', () => {
  for (const product of ['pg17', 'mysql', 'mariadb'] as const) {
    describeEngine(product, product, () => {
      const tidemark = useTidemark({ LOG_LEVEL: 'trace' });
      const engine = useEngine(product);

      it('never reach argv, logs, answers, errors, workflow histories or object metadata', async () => {
        const database = await createShop(engine);
        const username = uniqueName('u').slice(0, 16);
        await createPlantedAccount(engine, username);
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
        const histories = (await readHistories(tidemark.home)).map(({ text }) => text);
        expect(find(secrets, histories), 'histories').toEqual([]);
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
