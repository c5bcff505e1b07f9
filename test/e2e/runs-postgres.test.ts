/** Runs that are cancelled, refused or limited, with everything real. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { expect, test } from 'vitest';
import { cancelBackup } from '../../src/usecases/cancel-backup.js';
import { cancelRestore } from '../../src/usecases/cancel-restore.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { backupWorkflowId } from '../../src/workflows/names.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, settledRestore, storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

describeEngine('pg17', 'runs on a PostgreSQL database', () => {
  const source = useEngine('pg17');
  const stack = useRunStack();
  const backUp = async (planId: string) => (await requestBackup(stack.context, stack.admin, { planId })).id;
  const restoreInto = async (backupId: string, databaseId: string, name: string) =>
    (
      await requestRestore(stack.context, stack.admin, {
        source: { kind: 'backup', backupId },
        target: { kind: 'server', databaseId, database: name },
        overwrite: false,
        confirmOverwrite: false,
        keepPreviousHours: 24,
      })
    ).id;
  const databases = async (pattern: string) =>
    (await source.query<{ datname: string }>(`select datname from pg_database where datname like '${pattern}'`)).map(
      (row) => row.datname,
    );

  test('a cancelled backup leaves nothing in the store, a cancelled restore nothing on the server', async () => {
    const fault = stack.placeFaults(['dump-running', 'loading']);
    const worker = await stack.startWorker({ faults: fault.setting });
    const { plan, database, bucket } = await protectDatabase(stack, source);

    const cancelled = await backUp(plan.id);
    await fault.reached('dump-running');
    const run = stack.temporal.client.workflow.getHandle(backupWorkflowId(cancelled));
    const shown = async () =>
      (await run.query<{ currentDetails?: string }>('__temporal_workflow_metadata')).currentDetails ?? '';
    await until(async () => /- Now: dumping, \d/.test(await shown()), 'the Web UI to be told how far the dump is');
    await cancelBackup(stack.context, stack.admin, { backupId: cancelled });
    expect(await settledBackup(stack, cancelled)).toMatchObject({
      status: 'cancelled',
      activeKey: null,
      error: { code: 'cancelled' },
    });
    await until(async () => (await storedKeys(stack, bucket)).length === 1, 'the objects to be removed');
    expect(await stack.store.openUploads(bucket)).toEqual([]);

    const good = await backUp(plan.id);
    expect((await settledBackup(stack, good)).status).toBe('completed');
    const name = uniqueName('cancelled');
    const restore = await restoreInto(good, database.id, name);
    await fault.reached('loading');
    await cancelRestore(stack.context, stack.admin, { restoreId: restore });
    expect(await settledRestore(stack, restore)).toMatchObject({ status: 'cancelled', activeKey: null });
    expect(await databases('tm\\_stage\\_%')).toEqual([]);
    expect(await databases(name)).toEqual([]);
    await worker.stop();
  }, 240_000);

  test('retention keeps the newest backups of a plan and removes the objects of the others', async () => {
    const worker = await stack.startWorker();
    const { plan, bucket } = await protectDatabase(stack, source, { retention: { count: 2 } });
    const ids: string[] = [];
    for (let index = 0; index < 3; index += 1) {
      const id = await backUp(plan.id);
      expect((await settledBackup(stack, id)).status).toBe('completed');
      ids.push(id);
    }
    await until(
      async () => (await stack.catalog.prisma.backup.findUnique({ where: { id: ids[0] } }))?.deletedAt,
      'the oldest to be deleted',
    );
    const keys = await storedKeys(stack, bucket);
    expect(keys.some((key) => key.includes(ids[0]!))).toBe(false);
    for (const id of ids.slice(1)) expect(keys.some((key) => key.includes(id))).toBe(true);
    await worker.stop();
  }, 240_000);

  test('a flipped byte in the store is found before the target is touched, with the name of the object', async () => {
    const worker = await stack.startWorker();
    const { plan, database, bucket } = await protectDatabase(stack, source);
    const id = await backUp(plan.id);
    await settledBackup(stack, id);
    const key = (await storedKeys(stack, bucket)).find((candidate) => candidate.includes('dump.pgc'))!;
    const path = join(stack.store.dataDir, bucket, key);
    const bytes = readFileSync(path);
    bytes[Math.floor(bytes.length / 2)]! ^= 1;
    writeFileSync(path, bytes);
    const name = uniqueName('damaged');
    const row = await settledRestore(stack, await restoreInto(id, database.id, name));
    expect(row).toMatchObject({ status: 'failed', error: { code: 'object_corrupt' } });
    expect((row.error as { message: string }).message).toContain(key);
    expect(await databases(name)).toEqual([]);
    await worker.stop();
  }, 240_000);

  test('a wrong password fails the backup with its reason, and no history or log holds a credential', async () => {
    const worker = await stack.startWorker();
    const good = await protectDatabase(stack, source);
    const id = await backUp(good.plan.id);
    await settledBackup(stack, id);
    const secret = 'planted-Secret%42';
    const role = uniqueName('role');
    await source.query(`create role ${role} login password 'another one'`);
    const bad = await protectDatabase(stack, source, { username: role, password: secret });
    const failed = await backUp(bad.plan.id);
    expect(await settledBackup(stack, failed)).toMatchObject({
      status: 'failed',
      error: { code: 'authentication_failed' },
    });

    const secrets = [secret, source.adminPassword, stack.store.secretAccessKey];
    const forms = secrets.flatMap((text) => [text, encodeURIComponent(text), Buffer.from(text).toString('base64')]);
    for (const run of [id, failed]) {
      const handle = stack.temporal.client.workflow.getHandle(backupWorkflowId(run));
      const history = JSON.stringify(JSON.parse(historyToJSON(await handle.fetchHistory())));
      // Payloads stand base64-encoded in a history.
      const opened = history.replace(/"data":"([^"]*)"/g, (_all, data: string) =>
        Buffer.from(data, 'base64').toString(),
      );
      for (const form of forms) expect(`${history}${opened}`).not.toContain(form);
    }
    for (const form of forms) expect(worker.log()).not.toContain(form);
    await worker.stop();
    expect(readdirSync(join(stack.home, 'scratch'))).not.toContainEqual(
      expect.stringContaining(`worker-${worker.pid}-`),
    );
  }, 240_000);
});
