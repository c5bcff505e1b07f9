/** Secrets of policies: sought after attaching, fulls, incrementals, following, a failed run, a mail about it, and a recovery to a moment. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HeadObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { Page } from '../../src/domain/schemas/common.js';
import type { NotificationResource } from '../../src/domain/schemas/notifications.js';
import { MailStore } from '../../src/embedded/mail-store.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import {
  createPlantedAccount,
  findSecrets,
  logFiles,
  PLANTED_PASSWORD,
  plantedForms,
  readHistories,
  readMasterKey,
  storeFiles,
  watchCommandLines,
} from '../support/planted-secrets.js';
import { attach, backUpServer, createPolicy, eventually, untilCovered } from '../support/policy-client.js';
import type { TestService } from '../support/tidemark.js';
import { useTidemark } from '../support/tidemark.js';

describe('secrets of a policy', () => {
  for (const product of ['pg17', 'mysql'] as const) {
    describeEngine(product, product, () => {
      const tidemark = useTidemark({ LOG_LEVEL: 'trace' });
      const limit = { max_slot_wal_keep_size: '1GB' };
      const source = usePrivateEngine(product, product === 'pg17' ? { settings: limit } : {});

      it('never reach argv, logs, answers, mails, workflow histories, or what is stored', async () => {
        const { api, home } = tidemark;
        const database = await source.createDatabase();
        await source.query('create table written (n int primary key)', database);
        const account = { username: uniqueName('u').slice(0, 16), password: PLANTED_PASSWORD };
        await createPlantedAccount(source, account.username);
        const databaseId = await tidemark.registerDatabase(source, database, account);
        const policyId = await createPolicy(tidemark, await tidemark.createDestination(`secrets-${product}`));
        const { key } = await api.post<{ key: string }>(`/v1/policies/${policyId}/key/export`);
        expect(key.length).toBeGreaterThan(30);
        const secrets = plantedForms([
          ...[PLANTED_PASSWORD, key, readMasterKey(home)],
          ...[tidemark.process.run().s3.secretAccessKey, tidemark.token],
        ]);
        const watch = watchCommandLines(secrets);

        const { serverId } = await attach(tidemark, policyId, databaseId);
        await source.query('insert into written values (1), (2), (3)', database);
        await backUpServer(tidemark, databaseId, 'incremental');
        await backUpServer(tidemark, databaseId, 'full');
        await source.query('insert into written values (4), (5)', database);
        await untilCovered(tidemark, databaseId);
        const restore = await tidemark.restore({
          source: { kind: 'pitr', databaseId },
          target: { kind: 'server', host: source.host, port: source.port, ...account, database: uniqueName('copy') },
        });
        expect(restore).toMatchObject({ status: 'completed', error: null });
        const failed = await failOnce(tidemark, databaseId);

        const answers = [];
        for (const path of [
          ...['/v1/policies', `/v1/policies/${policyId}`, `/v1/policies/${policyId}/retention-preview`],
          ...[`/v1/policies/${policyId}/attachments`, `/v1/policies/${policyId}/attachments/${databaseId}`],
          ...['/v1/servers', `/v1/servers/${serverId}`, '/v1/notifications', '/v1/audit-events', '/v1/destinations'],
          ...['/v1/databases', `/v1/databases/${databaseId}`, `/v1/databases/${databaseId}/recovery-window`],
          ...['/v1/backups', `/v1/backups/${failed.id}`, `/v1/backups/${restore.backupId}/files`],
          ...['/v1/restores', `/v1/restores/${restore.id}`, '/metrics'],
        ]) {
          const response = await api.send('GET', path);
          expect(response.status, path).toBe(200);
          answers.push(`${path} ${[...response.headers].join()} ${await response.text()}`);
        }
        const seen = await watch.stop();
        expect(watch.samples()).toBeGreaterThan(50);
        expect(seen, 'command lines').toEqual([]);
        expect(findSecrets(secrets, answers), 'answers').toEqual([]);
        const histories = await readHistories(home);
        const types = histories.map(({ type }) => type);
        expect(types).toEqual(expect.arrayContaining(['attach', 'chain', 'archive', 'restore', 'notify']));
        const said = histories.map(({ text }) => text);
        expect(findSecrets(secrets, said), 'histories').toEqual([]);
        const mails = await readMails(home);
        expect(mails.join()).toContain('Backup failed');
        expect(findSecrets(secrets, mails), 'mails').toEqual([]);
        const logs = logFiles(home).map((path) => readFileSync(path, 'utf8'));
        expect(logs.join().length).toBeGreaterThan(10_000);
        expect(findSecrets(secrets, logs), 'logs').toEqual([]);
        const objects = storeFiles(home).map((path) => readFileSync(path, 'latin1'));
        expect(findSecrets(secrets, [...objects, ...(await readMetadata(tidemark))]), 'objects').toEqual([]);
      }, 900_000);
    });
  }
});

/** A full with a wrong password that contains the right one; the archive stumbles over it as well. Its owner gets a mail. */
async function failOnce({ api }: TestService, databaseId: string): Promise<BackupResource> {
  await api.patch(`/v1/databases/${databaseId}`, { password: `${PLANTED_PASSWORD}x` });
  const { id } = await api.post<BackupResource>('/v1/backups', { databaseId, kind: 'full' });
  const failed = await api.untilSettled<BackupResource>(`/v1/backups/${id}`);
  expect(failed).toMatchObject({ status: 'failed', error: { code: 'authentication_failed' } });
  await eventually(
    async () => {
      const { items } = await api.get<Page<NotificationResource>>('/v1/notifications');
      return items.some(({ event, status }) => event === 'backup_failed' && status === 'sent');
    },
    'the mail to be sent',
    120_000,
  );
  return failed;
}

/** As they came, and decoded. */
async function readMails(home: string): Promise<string[]> {
  const store = new MailStore(join(home, 'mail'));
  const mails = [];
  for (const { id } of await store.list()) {
    mails.push(store.raw(id)?.toString('utf8') ?? '', JSON.stringify(await store.read(id)));
  }
  return mails;
}

/** Of every object: its key and what the store keeps beside its bytes. */
async function readMetadata(tidemark: TestService): Promise<string[]> {
  const { endpoint, bucket: Bucket, region, forcePathStyle, ...credentials } = tidemark.process.run().s3;
  const client = new S3Client({ endpoint, region, forcePathStyle, credentials });
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }));
  const found = [];
  for (const { Key } of Contents ?? []) {
    const { $metadata: _, ...head } = await client.send(new HeadObjectCommand({ Bucket, Key }));
    found.push(`${Key} ${JSON.stringify(head)}`);
  }
  client.destroy();
  expect(found.length).toBeGreaterThan(10);
  return found;
}
