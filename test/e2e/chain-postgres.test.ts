/** A PostgreSQL server under a policy, from attaching to detaching. */
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, expect, test } from 'vitest';
import { compareLogPositions } from '../../src/domain/compare-positions.js';
import type { LogPosition } from '../../src/domain/positions.js';
import { checkDatabase } from '../../src/usecases/check-database.js';
import { createDatabase } from '../../src/usecases/create-database.js';
import { detachDatabase } from '../../src/usecases/detach-database.js';
import { getDatabase } from '../../src/usecases/get-database.js';
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
  async function register(): Promise<string> {
    const name = await source.createDatabase();
    const { engine, host, port, adminUser: username, adminPassword: password } = source;
    const input = { name, engine, host, port, username, password, database: name };
    return (await createDatabase(stack.context, stack.admin, input)).id;
  }
  const run = async (kind: 'full' | 'incremental') =>
    await settledBackup(stack, await askForRun(stack, chainId, kind), 240_000);

  beforeAll(async () => {
    made = await protectDatabase(stack, source);
    await stack.startWorker({ queues: 'control,data,stream' });
    policyId = await makePolicy(stack, made.destination.id, { pitr: true });
  }, 180_000);

  test('attaching archives the log, takes a full, opens it in a sandbox, and then PITR is active', async () => {
    // What a policy can do is known from the check on, before anybody attaches.
    expect(await checkDatabase(stack.context, stack.admin, { databaseId: made.database.id })).toMatchObject({
      ok: true,
    });
    expect(await getDatabase(stack.context, stack.admin, { databaseId: made.database.id })).toMatchObject({
      capabilities: { dump: true, incremental: true, pitr: true, realtime: false },
    });
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
    const second = await register();
    const row = await attach(stack, policyId, second);
    // It was made after the full: the archived log holds it, the full does not.
    expect(row).toMatchObject({ status: 'active', chainId, pitrStatus: 'active', lastFullAt: null });
    expect(await stack.catalog.prisma.backup.count({ where: { chainId } })).toBe(1);
    await detachDatabase(stack.context, stack.admin, { policyId, databaseId: second });
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
    // Log before the first full is of no use, and the retention that follows each run may just be letting it go.
    const first = await stack.catalog.prisma.backup.findFirstOrThrow({
      where: { chainId },
      orderBy: { takenAt: 'asc' },
    });
    const useless = (await stack.catalog.prisma.logSlice.findMany({ where: { chainId } })).filter(
      ({ endPosition }) => compareLogPositions(endPosition as LogPosition, first.startPosition as LogPosition) <= 0,
    );
    const letGo = new Set(useless.flatMap(({ recordKey, objectKey }) => [recordKey, objectKey]));
    const before = (await storedKeys(stack, made.bucket)).filter((key) => !letGo.has(key));
    expect(before.some((key) => key.includes('/archive/'))).toBe(true);
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

  test('without a log, a database that is in the full shares it, and one made later gets a full that holds it', async () => {
    await source.query('alter system set summarize_wal = off');
    await source.query('select pg_reload_conf()');
    const summaries = async () =>
      (await source.query<{ summarize_wal: string }>('show summarize_wal'))[0]?.summarize_wal;
    await until(async () => (await summaries()) === 'off', 'the setting to be taken');
    const withoutLog = await makePolicy(stack, made.destination.id, { pitr: false });
    const early = await register();
    const first = await attach(stack, withoutLog, made.database.id);
    expect(first).toMatchObject({ status: 'active', pitrStatus: 'disabled', lastError: null });
    // Turned on for the incrementals of the policy, before the full that they build on, and said.
    expect(await summaries()).toBe('on');
    expect(first.findings).toMatchObject([{ severity: 'info', code: 'summarize_wal_turned_on' }]);
    const { prisma } = stack.catalog;
    const fulls = () => prisma.backup.count({ where: { chainId: first.chainId ?? '', kind: 'full' } });
    // The chain notes it a moment after the run has its result.
    const lastFullOf = (id: string, after: number) =>
      until(async () => {
        const { lastFullAt } = await prisma.attachment.findUniqueOrThrow({ where: { id } });
        return lastFullAt !== null && lastFullAt.getTime() > after ? lastFullAt : null;
      }, 'the full to be noted');
    const taken = await lastFullOf(first.id, 0);
    const shared = await attach(stack, withoutLog, early);
    expect(shared).toMatchObject({ status: 'active', chainId: first.chainId, lastFullAt: taken });
    expect(await fulls()).toBe(1);
    const later = await attach(stack, withoutLog, await register());
    expect(later).toMatchObject({ status: 'active', chainId: first.chainId, lastError: null });
    expect(await fulls()).toBe(2);
    await lastFullOf(later.id, taken.getTime());
  }, 1_000_000);
});
