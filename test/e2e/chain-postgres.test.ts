/** A PostgreSQL server under a policy, from attaching to detaching. */
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, expect, test } from 'vitest';
import { createDatabase } from '../../src/usecases/create-database.js';
import { detachDatabase } from '../../src/usecases/detach-database.js';
import { askForRun, attach, makePolicy } from '../support/attached-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

describeEngine('pg17', 'a PostgreSQL server under a policy', () => {
  const source = usePrivateEngine('pg17', { settings: { summarize_wal: 'on', max_slot_wal_keep_size: '1GB' } });
  const stack = useRunStack();
  let made: Awaited<ReturnType<typeof protectDatabase>>;
  let policyId: string;
  let chainId: string;
  const slots = async () =>
    (await source.query<{ slot: string }>('select slot_name::text as slot from pg_replication_slots')).map(
      ({ slot }) => slot,
    );
  const run = async (kind: 'full' | 'incremental') =>
    await settledBackup(stack, await askForRun(stack, chainId, kind), 240_000);

  beforeAll(async () => {
    made = await protectDatabase(stack, source);
    await stack.startWorker({ queues: 'control,data,stream' });
    policyId = await makePolicy(stack, made.destination.id, { pitr: true });
  }, 180_000);

  test('attaching archives the log, takes a full, opens it in a sandbox, and then PITR is active', async () => {
    const row = await attach(stack, policyId, made.database.id);
    expect(row).toMatchObject({ status: 'active', lastError: null, pitrStatus: 'active', pitrError: null });
    expect(row.sandboxProvenAt).not.toBeNull();
    chainId = row.chainId ?? '';
    const [full] = await stack.catalog.prisma.backup.findMany({ where: { chainId } });
    expect(full).toMatchObject({
      ...{ kind: 'full', status: 'completed', policyId, serverId: row.chain?.serverId, parentId: null, fellBack: null },
      ...{ epoch: row.chain?.archiveEpoch, sourceDatabaseId: null, activeKey: null },
    });
    expect(row.lastFullAt).toEqual(full?.takenAt);
    const keys = await storedKeys(stack, made.bucket);
    expect(keys).toContain(full?.manifestKey);
    expect(full?.manifestKey).toContain(`/${row.chain?.serverId}/backups/${full?.id}/`);
    expect(await slots()).toContain(row.chain?.slotName);
  }, 400_000);

  test('a second database of the server joins the chain and takes no full of its own', async () => {
    const name = await source.createDatabase();
    const { username, password } = { username: source.adminUser, password: source.adminPassword };
    const { engine, host, port } = source;
    const second = await createDatabase(stack.context, stack.admin, {
      ...{ name, engine, host, port, username, password, database: name },
    });
    const row = await attach(stack, policyId, second.id);
    expect(row).toMatchObject({ status: 'active', chainId, pitrStatus: 'active' });
    expect(await stack.catalog.prisma.backup.count({ where: { chainId } })).toBe(1);
    await detachDatabase(stack.context, stack.admin, { policyId, databaseId: second.id });
    await until(async () => {
      const now = await stack.catalog.prisma.attachment.findUniqueOrThrow({ where: { id: row.id } });
      return now.status === 'detached';
    }, 'the second to be detached');
    // The first one still needs both.
    const chain = await stack.catalog.prisma.chain.findUniqueOrThrow({ where: { id: chainId } });
    expect(chain).toMatchObject({ archiveWanted: true, endedAt: null });
    expect(await slots()).toContain(chain.slotName);
  }, 400_000);

  test('an incremental holds what changed since its parent, and becomes a full when that parent is damaged', async () => {
    await source.query(`insert into city (name) select 'new ' || i from generate_series(1, 500) i`, made.name);
    const incremental = await run('incremental');
    expect(incremental).toMatchObject({ status: 'completed', kind: 'incremental', fellBack: null, error: null });
    const full = await stack.catalog.prisma.backup.findFirstOrThrow({ where: { chainId, kind: 'full' } });
    expect(incremental.parentId).toBe(full.id);
    expect(Number(incremental.bytes)).toBeLessThan(Number(full.bytes));
    const keys = await storedKeys(stack, made.bucket);
    const manifest = keys.find((key) => key.includes(incremental.id) && key.includes('backup_manifest'));
    await stack.store.client().send(new DeleteObjectCommand({ Bucket: made.bucket, Key: manifest ?? '' }));
    const instead = await run('incremental');
    expect(instead).toMatchObject({
      ...{ status: 'completed', kind: 'full', parentId: null, fellBack: { code: 'incremental_impossible' } },
    });
    const next = await run('incremental');
    expect(next).toMatchObject({ status: 'completed', kind: 'incremental', parentId: instead.id });
    // The chain notes it a moment after the run has its result.
    const times = () =>
      stack.catalog.prisma.attachment.findUniqueOrThrow({
        where: { activeKey: made.database.id },
        select: { lastFullAt: true, lastIncrementalAt: true },
      });
    await until(
      async () => (await times()).lastIncrementalAt?.getTime() === next.takenAt?.getTime(),
      'the run to be noted',
    );
    expect((await times()).lastFullAt).toEqual(instead.takenAt);
  }, 600_000);

  test('detaching stops the archive, drops the slot and keeps everything stored', async () => {
    const before = await storedKeys(stack, made.bucket);
    await detachDatabase(stack.context, stack.admin, { policyId, databaseId: made.database.id });
    await until(
      async () => (await stack.catalog.prisma.attachment.count({ where: { chainId, activeKey: { not: null } } })) === 0,
      'the database to be detached',
      120_000,
    );
    expect(await slots()).toEqual([]);
    const chain = await stack.catalog.prisma.chain.findUniqueOrThrow({ where: { id: chainId } });
    expect(chain).toMatchObject({ archiveWanted: false, archiveStatus: 'stopped' });
    expect(await storedKeys(stack, made.bucket)).toEqual(expect.arrayContaining(before));
    const backups = await stack.catalog.prisma.backup.findMany({ where: { chainId } });
    expect(backups.every((row) => row.deletedAt === null && row.deleteRequestedAt === null)).toBe(true);
  }, 200_000);
});
