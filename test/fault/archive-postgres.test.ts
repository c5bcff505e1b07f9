/** The log archive of a PostgreSQL server under kills: nothing acknowledged is lost, no gap goes unsaid. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { slotIsBehind } from '../../scripts/soak/chains/closing-checks.js';
import { compareLogPositions } from '../../src/domain/compare-positions.js';
import type { LogPosition } from '../../src/domain/positions.js';
import { ARCHIVE_SEEN_EVERY_MS } from '../../src/domain/statuses.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { getRecoveryWindow } from '../../src/usecases/get-recovery-window.js';
import { getServer } from '../../src/usecases/get-server.js';
import type { ArchivedServer } from '../support/archived-server.js';
import { archiveServer } from '../support/archived-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { useRunStack } from '../support/run-stack.js';
import { startWriting } from '../support/start-writing.js';
import { until } from '../support/until.js';

const queues = 'control,data,stream';
const schema =
  'create table written (n bigint primary key, at timestamptz not null default clock_timestamp(), pad text)';

describeEngine('pg17', 'the log archive of a PostgreSQL server', () => {
  // Each lost worker costs the time in which its heartbeat is missed; a test waits for several.
  vi.setConfig({ testTimeout: 300_000 });
  const source = usePrivateEngine('pg17');
  const stack = useRunStack();
  const root = mkdtempSync(join(tmpdir(), 'tm-archive-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  let server: ArchivedServer;
  beforeAll(async () => {
    server = await archiveServer(stack, source, getChainEngine('postgresql'), { schema });
    await server.wake();
  });

  /** All of an epoch's log is there, linked, verified, equal to the server's own files, and the slot is not before it. */
  async function expectWhole(epoch = 0): Promise<void> {
    await server.caughtUp();
    const dir = mkdtempSync(join(root, 'wal-'));
    const files = await server.assemble(epoch, dir);
    expect(files.length).toBeGreaterThan(0);
    expect(server.compareWithServer(dir, files)).toBeGreaterThan(0);
    const last = (await server.slices(epoch)).at(-1);
    const { slotName } = await server.chain();
    const [slot] = await source.query<{ restart_lsn: string }>(
      `select restart_lsn::text from pg_replication_slots where slot_name = '${slotName}'`,
    );
    const held = { lsn: slot?.restart_lsn ?? 'FFFFFFFF/0' };
    const { lsn = '0/0' } = (last?.endPosition ?? {}) as LogPosition;
    expect(compareLogPositions(held, { lsn })).toBeLessThanOrEqual(0);
  }

  test('is stored within seconds of a commit, in slices that are put together when a file is over, and covers an idle source', async () => {
    const worker = await stack.startWorker({ queues });
    await until(async () => (await server.chain()).archiveStatus === 'following', 'the log to be followed', 60_000);
    const writer = startWriting(server);
    await sleep(4_000);
    await source.query('select pg_switch_wal()');
    await sleep(3_000);
    await source.query('select pg_switch_wal()');
    await writer.stop();
    await expectWhole();
    await until(async () => (await server.slices(0)).some((slice) => slice.fromSeq < slice.seq), 'a merged slice');
    await expectWhole();
    const before = (await server.chain()).coveredTo ?? new Date(0);
    const stored = (await server.slices(0)).at(-1)?.seq;
    await sleep(12_000);
    expect((await server.chain()).coveredTo?.getTime()).toBeGreaterThan(before.getTime());
    // A checkpoint may have written a little; an idle source makes no stream of slices.
    expect(((await server.slices(0)).at(-1)?.seq ?? 0) - (stored ?? 0)).toBeLessThanOrEqual(3);
    await worker.stop();
  });

  test.each([
    ['between object and row', 'slice-stored', false],
    ['between row and acknowledgement, with the loss of its disk', 'slice-noted', true],
  ])('loses nothing when its worker is killed %s', async (_when, place, loseSpool) => {
    const writer = startWriting(server);
    for (let round = 0; round < 2; round += 1) {
      const fault = stack.placeFaults([place]);
      const worker = await stack.startWorker({ queues, faults: fault.setting });
      await fault.reached(place, 90_000);
      await worker.kill();
      if (loseSpool) rmSync(join(stack.home, 'spool'), { recursive: true, force: true });
    }
    const worker = await stack.startWorker({ queues });
    await sleep(2_000);
    await writer.stop();
    await expectWhole();
    await worker.stop();
  });

  test('goes on after the store was away and after the source was restarted', async () => {
    const worker = await stack.startWorker({ queues });
    const writer = startWriting(server);
    await server.caughtUp();
    await stack.store.kill();
    await until(async () => (await server.chain()).archiveStatus === 'error', 'the outage to be shown', 120_000);
    expect((await server.chain()).archiveError).toMatchObject({ code: 'destination_unreachable' });
    await stack.store.start();
    await server.caughtUp(120_000);
    await source.restart();
    await writer.stop();
    await expectWhole();
    expect((await server.chain()).archiveStatus).toBe('following');
    await worker.stop();
  });

  const windowOf = () => getRecoveryWindow(stack.context, stack.admin, { databaseId: server.database.id });

  test('is said to be followed by a worker that lives, also on an idle source, and not any more when it was killed', async () => {
    const { prisma } = stack.catalog;
    const shown = async () => (await getServer(stack.context, stack.admin, { serverId: server.serverId })).chains[0];
    /** As if so much time had passed since the last sign of life. */
    const age = () =>
      prisma.$executeRaw`update "Chain" set "archiveSeenAt" = "archiveSeenAt" - interval '5 minutes' where id = ${server.chainId}`;
    const worker = await stack.startWorker({ queues });
    await server.caughtUp();
    expect(await shown()).toMatchObject({ archiveStatus: 'following' });
    await age();
    expect(await shown()).toMatchObject({ archiveStatus: 'stalled' });
    await until(async () => (await shown())?.archiveStatus === 'following', 'the follower to be heard again', 60_000);
    await worker.kill();
    const [window, chain] = [await windowOf(), await server.chain()];
    expect(chain.archiveStatus).toBe('following');
    await age();
    // A living one would have said by then that it lives.
    await sleep(ARCHIVE_SEEN_EVERY_MS + 2_000);
    expect(await shown()).toMatchObject({ archiveStatus: 'stalled', coveredTo: chain.coveredTo?.toISOString() });
    expect((await windowOf()).archive).toMatchObject({ status: 'stalled', coveredTo: window.archive?.coveredTo });
    const next = await stack.startWorker({ queues });
    await until(async () => (await shown())?.archiveStatus === 'following', 'the next follower to be heard', 90_000);
    await server.caughtUp();
    await next.stop();
  });

  test('says a gap with its range, queues a full at once and begins the next epoch', async () => {
    const before = await stack.startWorker({ queues });
    await server.caughtUp();
    await before.stop();
    const { slotName } = await server.chain();
    await expectSoakToSeeSlots(slotName);
    await source.query(`select pg_drop_replication_slot('${slotName}')`);
    const last = (await server.slices(0)).at(-1);
    for (let round = 0; round < 4; round += 1) {
      await source.query('create table if not exists filler (t text)', server.name);
      await source.query(`insert into filler select repeat('y', 900) from generate_series(1, 20000)`, server.name);
      await source.query('select pg_switch_wal()');
      await source.query('checkpoint');
    }
    await source.query('checkpoint');
    const worker = await stack.startWorker({ queues });
    const gap = await until(
      () => stack.catalog.prisma.logGap.findFirst({ where: { chainId: server.chainId } }),
      'the gap to be noted',
      120_000,
    );
    expect(gap).toMatchObject({ epoch: 0, reason: { code: 'log_gap' }, fromPosition: last?.endPosition });
    expect(gap.from).not.toBeNull();
    expect(gap.toPosition).toMatchObject({ lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) });
    const { prisma } = stack.catalog;
    const attachment = await prisma.attachment.findFirstOrThrow({ where: { chainId: server.chainId } });
    expect(attachment).toMatchObject({ pitrStatus: 'error', pitrError: { code: 'log_gap' } });
    await until(
      () => prisma.backup.findFirst({ where: { chainId: server.chainId, kind: 'full', activeKey: { not: null } } }),
      'a full to be queued',
    );
    await until(
      () => prisma.notification.findFirst({ where: { event: 'pitr_gap', policyId: server.policyId } }),
      'a mail about it to be noted',
    );
    await expectWhole(1);
    expect(await prisma.notification.count({ where: { event: 'pitr_gap', policyId: server.policyId } })).toBe(1);
    expect((await server.chain()).archiveEpoch).toBe(1);
    await worker.stop();
  });

  /** The soak's look after each kill: quiet while all is well, broken by a slot that is left or that is ahead of the store. */
  async function expectSoakToSeeSlots(slotName: string): Promise<void> {
    const { prisma } = stack.catalog;
    const catalog = <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> =>
      prisma.$queryRawUnsafe(text, ...values);
    const admin = {
      engine: 'postgresql',
      port: source.port,
      username: source.adminUser,
      password: source.adminPassword,
    } as const;
    const about = { slotName, chainId: server.chainId, product: 'pg17', source: { account: admin, admin } } as const;
    const look = () => slotIsBehind({ catalog }, about);
    await look();
    await source.query(`select pg_create_physical_replication_slot('left_behind', true)`);
    await expect(look()).rejects.toThrow('slots are left: left_behind');
    await source.query(`select pg_drop_replication_slot('left_behind')`);
    await look();
    // Nobody archives it just now: whatever is written is not stored.
    await source.query(
      'create table if not exists not_stored as select i from generate_series(1, 1000) i',
      server.name,
    );
    await source.query(`select pg_replication_slot_advance('${slotName}', pg_current_wal_lsn())`);
    await expect(look()).rejects.toThrow(/the slot stands at .*, stored is/);
  }

  test('lets the source go when it is not wanted any more, and ends', async () => {
    const worker = await stack.startWorker({ queues });
    await server.caughtUp();
    await stack.catalog.prisma.chain.update({ where: { id: server.chainId }, data: { archiveWanted: false } });
    await server.wake();
    await until(async () => (await server.chain()).archiveStatus === 'stopped', 'the archive to stop', 60_000);
    expect(await source.query('select slot_name from pg_replication_slots')).toEqual([]);
    const handle = stack.temporal.client.workflow.getHandle(server.workflowId);
    await handle.result();
    await worker.stop();
  });
});
