/** A log archive whose end was damaged in the store: it is read again from the source, or it is a gap; it never stands still for ever. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { LogPosition } from '../../src/domain/positions.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { ArchivedServer } from '../support/archived-server.js';
import { archiveServer } from '../support/archived-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

const queues = 'control,data,stream';
const schema = 'create table written (n int, pad text)';

describeEngine('pg17', 'the damaged end of a log archive', () => {
  vi.setConfig({ testTimeout: 420_000 });
  const source = usePrivateEngine('pg17');
  const stack = useRunStack();
  const root = mkdtempSync(join(tmpdir(), 'tm-damaged-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  let server: ArchivedServer;
  beforeAll(async () => {
    server = await archiveServer(stack, source, getChainEngine('postgresql'), { schema });
    await server.wake();
  });

  const write = (rows: number) =>
    source.query(`insert into written select n, repeat('x', 500) from generate_series(1, ${rows}) n`, server.name);
  const pathOf = (key: string) => join(stack.store.dataDir, server.bucket, key);
  const newestOf = async (epoch: number) => {
    const slice = (await server.slices(epoch)).at(-1);
    if (slice === undefined) throw new Error(`nothing is stored of epoch ${epoch}`);
    return slice;
  };
  const gaps = () => stack.catalog.prisma.logGap.findMany({ where: { chainId: server.chainId } });
  const told = () =>
    stack.catalog.prisma.notification.count({ where: { policyId: server.policyId, event: 'backup_damaged' } });

  /** A worker, and an archive that does not sit out the pause which it took when the former one ended. */
  async function startFollowing(options: { faults?: string } = {}) {
    const worker = await stack.startWorker({ queues, ...options });
    await server.wake();
    return worker;
  }

  /** Archives something in several slices of one file, and lets nobody follow then. */
  async function archiveSome(epoch: number) {
    const worker = await startFollowing();
    await server.caughtUp();
    const before = (await newestOf(epoch)).seq;
    for (let round = 1; round <= 3; round += 1) {
      await write(20);
      await until(async () => (await newestOf(epoch)).seq >= before + round, 'another slice', 60_000);
    }
    await server.caughtUp();
    await worker.stop();
    return await server.slices(epoch);
  }

  /** Follows again and compares all that is stored of an epoch with the server's own files. */
  async function expectWhole(epoch: number): Promise<void> {
    const worker = await startFollowing();
    await write(20);
    await server.caughtUp();
    const dir = mkdtempSync(join(root, 'wal-'));
    const files = await server.assemble(epoch, dir);
    expect(server.compareWithServer(dir, files)).toBeGreaterThan(0);
    await worker.stop();
  }

  const damages: readonly (readonly [string, (slice: { objectKey: string; recordKey: string }) => void])[] = [
    [
      'an object of which a byte is another',
      ({ objectKey }) => {
        const content = readFileSync(pathOf(objectKey));
        const middle = content.length >> 1;
        content[middle] = (content[middle] ?? 0) ^ 1;
        writeFileSync(pathOf(objectKey), content);
      },
    ],
    ['a missing record', ({ recordKey }) => rmSync(pathOf(recordKey))],
  ];

  test.each(damages)('%s is read again from the source, without a gap', async (_what, damage) => {
    const slices = await archiveSome(0);
    const before = await told();
    const victim = slices.at(-2);
    if (victim === undefined) throw new Error('there are too few slices');
    damage(victim);
    await expectWhole(0);
    expect(await gaps()).toEqual([]);
    expect(await told()).toBe(before + 1);
    const { prisma } = stack.catalog;
    expect((await prisma.logSlice.findUnique({ where: { id: victim.id } }))?.supersededAt).not.toBeNull();
    const numbers = await server.slices(0);
    for (const [index, slice] of numbers.entries()) expect(slice.fromSeq).toBe((numbers[index - 1]?.seq ?? 0) + 1);
  });

  test('a replacement that was stored and not noted is taken over', async () => {
    const victim = (await archiveSome(0)).at(-1);
    rmSync(pathOf(victim?.objectKey ?? ''));
    const fault = stack.placeFaults(['slice-stored']);
    const worker = await startFollowing({ faults: fault.setting });
    await fault.reached('slice-stored', 90_000);
    await worker.kill();
    await expectWhole(0);
    expect(await gaps()).toEqual([]);
  });

  test('a damaged end that the source cannot send again is a gap from the last good place on, and nothing is deleted', async () => {
    const slices = await archiveSome(0);
    const [good, victim] = slices.slice(-2);
    if (good === undefined || victim === undefined) throw new Error('there are too few slices');
    const { coveredTo } = await server.chain();
    writeFileSync(pathOf(victim.objectKey), 'damaged');
    await source.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active');
    for (let round = 0; round < 4; round += 1) {
      await write(20_000);
      await source.query('select pg_switch_wal()');
      await source.query('checkpoint');
    }
    rmSync(join(stack.home, 'spool'), { recursive: true, force: true });
    const worker = await startFollowing();
    const gap = await until(async () => (await gaps())[0], 'the gap to be noted', 120_000);
    expect(gap.fromPosition).toEqual(good.endPosition);
    expect(gap.from?.getTime() ?? 0).toBeLessThanOrEqual(coveredTo?.getTime() ?? 0);
    expect(gap.reason).toMatchObject({ code: 'log_gap', message: expect.stringContaining(victim.objectKey) });
    const { prisma } = stack.catalog;
    const row = await prisma.logSlice.findUniqueOrThrow({ where: { id: victim.id } });
    expect(row).toMatchObject({ supersededAt: null, deletedAt: null, damage: { code: 'object_corrupt' } });
    expect(existsSync(pathOf(victim.objectKey)) && existsSync(pathOf(victim.recordKey))).toBe(true);
    await until(
      () => prisma.backup.findFirst({ where: { chainId: server.chainId, kind: 'full', activeKey: { not: null } } }),
      'a full to be queued',
    );
    await server.caughtUp();
    const first = (await server.slices(1))[0]?.startPosition as LogPosition;
    expect(getChainEngine('postgresql').comparePositions(first, good.endPosition as LogPosition)).toBeGreaterThan(0);
    await worker.stop();
    await expectWhole(1);
  });
});
