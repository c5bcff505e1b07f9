/** A log archive whose end was damaged in the store: it is read again from the source, or it is a gap; it never stands still for ever. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { LogPosition } from '../../src/domain/positions.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { ArchivedServer } from '../support/archived-server.js';
import { archiveServer } from '../support/archived-server.js';
import { flipByte, largestOf, storedPath } from '../support/damage.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

const queues = 'control,data,stream';
const schema = 'create table written (n int, pad text)';

/** `rows` rows in one transaction. */
const insertOf: Record<'postgresql' | 'mysql', (rows: number) => string> = {
  postgresql: (rows) => `insert into written select n, repeat('x', 500) from generate_series(1, ${rows}) n`,
  mysql: (rows) =>
    `insert into written with recursive s (n) as (select 1 union all select n + 1 from s where n < ${rows}) select n, repeat('x', 500) from s`,
};

/** Each kind of failure once: all of them on PostgreSQL, on the others that the engine sends again what was damaged, and a damaged full. */
const wanted = {
  pg17: { resent: 2, full: false, all: true },
  mysql: { resent: 1, full: false, all: false },
  // Fulls of PostgreSQL have a file of their own, with what is said of them.
  mariadb: { resent: 0, full: true, all: false },
};

for (const product of ['pg17', 'mysql', 'mariadb'] as const) {
  const { resent, full, all } = wanted[product];
  describeEngine(product, `the damaged end of a log archive of ${product}`, () => {
    vi.setConfig({ testTimeout: 420_000 });
    const source = usePrivateEngine(product);
    const stack = useRunStack();
    const kind = product === 'pg17' ? 'postgresql' : 'mysql';
    const root = mkdtempSync(join(tmpdir(), 'tm-damaged-'));
    afterAll(() => rmSync(root, { recursive: true, force: true }));
    let server: ArchivedServer;
    beforeAll(async () => {
      server = await archiveServer(stack, source, getChainEngine(source.engine), { schema });
      await server.wake();
    });

    const write = (rows: number) => source.query(insertOf[kind](rows), server.name);
    const pathOf = (key: string) => storedPath(stack, server, key);
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
      ['an object of which a byte is another', ({ objectKey }) => flipByte(pathOf(objectKey))],
      ['a missing record', ({ recordKey }) => rmSync(pathOf(recordKey))],
    ];

    test.each(damages.slice(0, resent))('%s is read again from the source, without a gap', async (_what, damage) => {
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

    if (all)
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

    if (full)
      test('a damaged full is passed over for an older one and more of the log', async () => {
        const worker = await startFollowing();
        const oldest = (await server.takeBackup('full')).id;
        await write(20);
        const changed = (await server.takeBackup('full')).id;
        await write(20);
        await server.caughtUp();
        flipByte(await largestOf(stack, server, changed));
        const { row, name } = await server.restorePoint({});
        expect(row).toMatchObject({ status: 'completed', backupId: oldest, error: null });
        expect(row.notes).toContainEqual({ code: 'backup_damaged', message: expect.stringContaining(changed) });
        const count = 'select count(*) as rows_there from written';
        expect(await source.query(count, name)).toEqual(await source.query(count, server.name));
        await worker.stop();
      });

    if (all)
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
        expect(getChainEngine(source.engine).comparePositions(first, good.endPosition as LogPosition)).toBeGreaterThan(
          0,
        );
        await worker.stop();
        await expectWhole(1);
      });
  });
}
