/**
 * Workers that are killed or stopped at exact places of a backup, a restore and a swap. Several runs wait at one place each, then
 * every worker dies at once: what a machine that loses its power looks like to the next one.
 */
import { expect, test } from 'vitest';
import { masterKeyOpener } from '../../src/keys/key-opener.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { readManifest } from '../../src/storage/read-manifest.js';
import { cancelBackup } from '../../src/usecases/cancel-backup.js';
import { cancelRestore } from '../../src/usecases/cancel-restore.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { restoreWorkflowId } from '../../src/workflows/names.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, settledRestore, storedKeys } from '../support/run-helpers.js';
import type { RunStack, WorkerProcess } from '../support/run-stack.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

type Protected = Awaited<ReturnType<typeof protectDatabase>>;

describeEngine('pg17', 'a worker that is lost while it works on a PostgreSQL database', () => {
  const source = useEngine('pg17');
  const stack = useRunStack();

  /** Starts enough workers for every run to wait at its place, runs `begin`, waits for all places, and kills all workers. */
  async function killAt(places: readonly string[], begin: () => Promise<void>): Promise<void> {
    const fault = stack.placeFaults(places);
    const workers: WorkerProcess[] = [];
    // A worker works on four long steps at once.
    for (let slots = 0; slots < places.length; slots += 4) {
      workers.push(await stack.startWorker({ faults: fault.setting }));
    }
    await begin();
    for (const place of places) await fault.reached(place);
    await Promise.all(workers.map((worker) => worker.kill()));
  }

  async function protectMany(count: number): Promise<Protected[]> {
    const all: Protected[] = [];
    for (let index = 0; index < count; index += 1) all.push(await protectDatabase(stack, source));
    return all;
  }

  const backUp = async ({ plan }: Protected) =>
    (await requestBackup(stack.context, stack.admin, { planId: plan.id })).id;

  async function sessionsLeft(): Promise<string[]> {
    const rows = await source.query<{ application_name: string }>(
      `select application_name from pg_stat_activity where application_name like 'tidemark%' or application_name = 'pg_dump'`,
    );
    return rows.map((row) => row.application_name);
  }

  test('a kill -9 while dumping, before the manifest and between manifest and catalog leaves each backup completed once and nothing else in the store', async () => {
    const databases = await protectMany(3);
    const ids: string[] = [];
    await killAt(['dump-running', 'before-manifest', 'after-manifest'], async () => {
      for (const database of databases) ids.push(await backUp(database));
    });
    await until(async () => (await sessionsLeft()).length === 0, 'the dump tools to die with their workers', 30_000);
    const worker = await stack.startWorker();
    const rows = await Promise.all(ids.map((id) => settledBackup(stack, id)));
    expect(rows.map((row) => row.status)).toEqual(['completed', 'completed', 'completed']);
    const adopted: number[] = [];
    for (const [index, row] of rows.entries()) {
      const { bucket } = databases[index]!;
      const attempts = await stack.catalog.prisma.attempt.findMany({
        where: { backupId: row.id },
        orderBy: { number: 'asc' },
      });
      expect(attempts).toHaveLength(2);
      const published = attempts.filter((attempt) => attempt.published);
      expect(published).toHaveLength(1);
      if (published[0]?.number === 1) adopted.push(index);
      await until(
        async () => (await unnamedKeys(stack, bucket, row)).length === 0,
        'the remains to be removed',
        30_000,
      );
      expect(await stack.store.openUploads(bucket)).toEqual([]);
    }
    // Only the one that had its manifest already was taken over instead of made again.
    expect(adopted).toHaveLength(1);
    await worker.stop();
  }, 240_000);

  test('a kill -9 while loading, around every step of the swap and after it ends with the restored content in place and the former one kept', async () => {
    const places = [
      'loading',
      'loaded',
      'swap-planned',
      'swap-after-1',
      'swap-after-2',
      'swap-after-3',
      'swap-after-4',
      'swap-done',
    ];
    const databases = await protectMany(places.length);
    const first = await stack.startWorker();
    const backups: string[] = [];
    for (const database of databases) backups.push(await backUp(database));
    for (const id of backups) expect((await settledBackup(stack, id)).status).toBe('completed');
    await first.stop();
    for (const { name } of databases) await source.query(`update city set name = 'changed' where id = 1`, name);

    const restores: string[] = [];
    await killAt(places, async () => {
      for (const backupId of backups) {
        const restore = await requestRestore(stack.context, stack.admin, {
          source: { kind: 'backup', backupId },
          target: { kind: 'original' },
          overwrite: true,
          confirmOverwrite: true,
          keepPreviousHours: 24,
        });
        restores.push(restore.id);
      }
    });
    const worker = await stack.startWorker();
    for (const [index, id] of restores.entries()) {
      const row = await settledRestore(stack, id);
      expect(row, JSON.stringify(row.error)).toMatchObject({ status: 'completed', proof: 'source', stagingName: null });
      expect(row.shutOutSeconds).toBeGreaterThan(0);
      const [city] = await source.query<{ name: string }>('select name from city where id = 1', databases[index]!.name);
      expect(city?.name).toBe('city 1');
      const kept = await source.query(`select 1 from pg_database where datname = '${row.previousName}'`);
      expect(kept).toHaveLength(1);
    }
    expect(await source.query(`select datname from pg_database where datname like 'tm\\_stage\\_%'`)).toEqual([]);
    await until(async () => (await sessionsLeft()).length === 0, 'no session to be left', 30_000);
    await worker.stop();
  }, 300_000);

  test('a cancel that a worker took to its death ends a backup and a restore as cancelled, not as failed', async () => {
    const [first, second] = await protectMany(2);
    const worker = await stack.startWorker();
    const good = await backUp(first!);
    expect((await settledBackup(stack, good)).status).toBe('completed');
    await worker.stop();

    const fault = stack.placeFaults(['dump-running', 'loading']);
    const doomed = await stack.startWorker({ faults: fault.setting });
    const backupId = await backUp(second!);
    const { id: restoreId } = await requestRestore(stack.context, stack.admin, {
      source: { kind: 'backup', backupId: good },
      target: { kind: 'original' },
      overwrite: true,
      confirmOverwrite: true,
      keepPreviousHours: 24,
    });
    for (const place of ['dump-running', 'loading']) await fault.reached(place);
    doomed.signal('SIGSTOP');
    await cancelBackup(stack.context, stack.admin, { backupId });
    await cancelRestore(stack.context, stack.admin, { restoreId });
    await doomed.kill();

    const next = await stack.startWorker();
    const ended = { status: 'cancelled', activeKey: null, error: { code: 'cancelled' } };
    expect(await settledBackup(stack, backupId)).toMatchObject(ended);
    expect(await settledRestore(stack, restoreId)).toMatchObject(ended);
    expect(await source.query(`select datname from pg_database where datname like 'tm\\_stage\\_%'`)).toEqual([]);
    const run = stack.temporal.client.workflow.getHandle(restoreWorkflowId(restoreId));
    await until(async () => (await run.describe()).status.name === 'CANCELLED', 'the workflow to close as cancelled');
    await next.stop();
  }, 240_000);

  test('a worker stopped past its heartbeat before it publishes is refused when it wakes, and removes only what it wrote itself', async () => {
    const [database] = await protectMany(1);
    const fault = stack.placeFaults(['before-manifest']);
    // Long steps only: the workflow itself and its short steps go on elsewhere, as with several hosts.
    const control = await stack.startWorker({ queues: 'control' });
    const sleeper = await stack.startWorker({ faults: fault.setting, queues: 'data' });
    const id = await backUp(database!);
    await fault.reached('before-manifest');
    sleeper.signal('SIGSTOP');
    const second = await stack.startWorker({ queues: 'data' });
    const row = await settledBackup(stack, id);
    expect(row.status).toBe('completed');
    // The second attempt has removed the objects of the sleeping one by now; nothing may come back.
    await until(
      async () => (await unnamedKeys(stack, database!.bucket, row)).length === 0,
      'the remains to be removed',
      60_000,
    );
    const before = await storedKeys(stack, database!.bucket);
    fault.release('before-manifest');
    sleeper.signal('SIGCONT');
    await until(
      () => sleeper.log().includes('step failed') || sleeper.log().includes('step cancelled'),
      'the sleeper to be refused',
      30_000,
    );
    const after = await stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id } });
    expect(after).toEqual(row);
    expect(await storedKeys(stack, database!.bucket)).toEqual(before);
    expect(await unnamedKeys(stack, database!.bucket, row)).toEqual([]);
    await Promise.all([sleeper.stop(), second.stop(), control.stop()]);
  }, 240_000);
});

/** Keys of a bucket that the backup's manifest does not name. */
async function unnamedKeys(
  stack: RunStack,
  bucket: string,
  row: { id: string; databaseId: string },
): Promise<string[]> {
  const destination = openDestination(stack.store.config(bucket));
  try {
    const { manifest } = await readManifest({
      destination,
      ownerId: row.databaseId,
      backupId: row.id,
      openKey: masterKeyOpener(stack.context.masterKey),
      signal: AbortSignal.timeout(60_000),
    });
    const named = new Set(manifest.artifacts.flatMap((artifact) => artifact.objects.map((object) => object.key)));
    const keys = await storedKeys(stack, bucket);
    return keys.filter((key) => !named.has(key) && !key.endsWith('/manifest.json') && !key.endsWith('/owner.json'));
  } finally {
    destination.close();
  }
}
