/** Backup and restore of a PostgreSQL database from the request to the settled row, with everything real. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { deleteBackup } from '../../src/usecases/delete-backup.js';
import { getBackup } from '../../src/usecases/get-backup.js';
import { getRestore } from '../../src/usecases/get-restore.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { revertRestore } from '../../src/usecases/revert-restore.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, settledRestore, storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

describeEngine('pg17', 'a backup and a restore of a PostgreSQL database', () => {
  const source = useEngine('pg17');
  const stack = useRunStack();

  test('a dump is completed, restored under another name, proven equal, replaced and reverted', async () => {
    await stack.startWorker();
    const { plan, database, bucket, name } = await protectDatabase(stack, source);

    const backup = await settledBackup(
      stack,
      (await requestBackup(stack.context, stack.admin, { planId: plan.id })).id,
    );
    expect(backup).toMatchObject({ status: 'completed', error: null });
    expect(Number(backup.bytes)).toBeGreaterThan(1000);
    const keys = await storedKeys(stack, bucket);
    expect(keys.filter((key) => key.endsWith('manifest.json'))).toHaveLength(1);

    const copy = uniqueName('copy');
    const restore = await settledRestore(
      stack,
      (
        await requestRestore(stack.context, stack.admin, {
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'server', databaseId: database.id, database: copy },
          overwrite: false,
          confirmOverwrite: false,
          keepPreviousHours: 24,
        })
      ).id,
    );
    expect(restore).toMatchObject({ status: 'completed', error: null, proof: 'source' });
    const count = await source.query<{ n: string }>('select count(*) n from city', copy);
    expect(count[0]?.n).toBe('5000');
    expect(await getBackup(stack.context, stack.admin, { backupId: backup.id })).toMatchObject({ proof: 'source' });

    // Without overwrite a database with content is refused, and nothing of it is touched.
    await source.query("update city set name = 'changed' where id = 1", name);
    const refused = await settledRestore(
      stack,
      (
        await requestRestore(stack.context, stack.admin, {
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'server', databaseId: database.id, database: name },
          overwrite: false,
          confirmOverwrite: true,
          keepPreviousHours: 24,
        })
      ).id,
    );
    expect(refused).toMatchObject({ status: 'failed', error: { code: 'target_not_empty' } });
    expect((await source.query<{ name: string }>('select name from city where id = 1', name))[0]?.name).toBe('changed');

    const over = await settledRestore(
      stack,
      (
        await requestRestore(stack.context, stack.admin, {
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'original' },
          overwrite: true,
          confirmOverwrite: true,
          keepPreviousHours: 24,
        })
      ).id,
    );
    expect(over).toMatchObject({ status: 'completed', error: null });
    expect((await source.query<{ name: string }>('select name from city where id = 1', name))[0]?.name).toBe('city 1');

    await revertRestore(stack.context, stack.admin, { restoreId: over.id });
    await until(
      async () => (await getRestore(stack.context, stack.admin, { restoreId: over.id })).revertedAt,
      'the revert',
      60_000,
    );
    expect((await source.query<{ name: string }>('select name from city where id = 1', name))[0]?.name).toBe('changed');

    await deleteBackup(stack.context, stack.admin, { backupId: backup.id });
    await until(async () => (await storedKeys(stack, bucket)).length === 1, 'the objects to be removed', 60_000);
    expect(await storedKeys(stack, bucket)).toEqual(['tidemark/v1/owner.json']);
  }, 300_000);

  test('a database that is being replaced by a restore is not dumped before the swap is over', async () => {
    const { context, admin, catalog } = stack;
    const { plan } = await protectDatabase(stack, source);
    const take = async () => (await requestBackup(context, admin, { planId: plan.id })).id;
    const backup = await settledBackup(stack, await take());
    const request = {
      source: { kind: 'backup' as const, backupId: backup.id },
      target: { kind: 'original' as const },
      overwrite: true,
      confirmOverwrite: true,
      keepPreviousHours: 24,
    };
    const over = await settledRestore(stack, (await requestRestore(context, admin, request)).id);
    expect(over).toMatchObject({ status: 'completed', error: null });
    // As while its swap is under way, or stands still after a crash.
    const where = { restoreId: over.id };
    await catalog.prisma.swapJournal.updateMany({ where, data: { state: 'open', finishedAt: null } });
    const id = await take();
    const attempt = await until(
      () => catalog.prisma.attempt.findFirst({ where: { backupId: id, endedAt: { not: null } } }),
      'the first attempt to end',
      60_000,
    );
    expect(attempt).toMatchObject({ published: false, error: { code: 'source_changed_during_dump' } });
    expect(JSON.stringify(attempt?.error)).toContain(over.id);
    await catalog.prisma.swapJournal.updateMany({ where, data: { state: 'done', finishedAt: new Date(0) } });
    expect(await settledBackup(stack, id)).toMatchObject({ status: 'completed', error: null });
  }, 120_000);

  test('the original is recognised behind another address and not replaced without confirmation', async () => {
    const { context, admin } = stack;
    const { plan, name } = await protectDatabase(stack, source);
    const backup = await settledBackup(stack, (await requestBackup(context, admin, { planId: plan.id })).id);
    const tunnel = createServer((inner) => {
      const outer = connect(source.port, source.host);
      inner.on('error', () => outer.destroy());
      outer.on('error', () => inner.destroy());
      inner.pipe(outer).pipe(inner);
    });
    await once(tunnel.listen(0, '127.0.0.1'), 'listening');
    const { port } = tunnel.address() as AddressInfo;
    const over = async (confirmOverwrite: boolean) =>
      settledRestore(
        stack,
        (
          await requestRestore(context, admin, {
            source: { kind: 'backup', backupId: backup.id },
            target: {
              kind: 'server',
              host: '127.0.0.1',
              port,
              username: source.adminUser,
              password: source.adminPassword,
              database: name,
            },
            overwrite: true,
            confirmOverwrite,
            keepPreviousHours: 24,
          })
        ).id,
      );
    try {
      await source.query("update city set name = 'changed' where id = 1", name);
      expect(await over(false)).toMatchObject({ status: 'failed', error: { code: 'confirmation_required' } });
      const before = await source.query<{ name: string }>('select name from city where id = 1', name);
      expect(before[0]?.name).toBe('changed');
      expect(await over(true)).toMatchObject({ status: 'completed', proof: 'source' });
    } finally {
      tunnel.close();
    }
  }, 120_000);
});
