/** Where the backups of a PostgreSQL server are read: from the log that is stored, from a replica, from the primary. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase } from '../../src/usecases/create-database.js';
import { askForRun, attach, makePolicy } from '../support/attached-server.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import type { PostgresCopy } from '../support/start-standby.js';
import { copyPostgres } from '../support/start-standby.js';
import { until } from '../support/until.js';

// A standby of a server without full pages in its log refuses to be copied.
const settings = { summarize_wal: 'on', max_slot_wal_keep_size: '1GB', full_page_writes: 'on' };

describeEngine('pg15', 'a server that has no incrementals of its own', () => {
  const source = usePrivateEngine('pg15', { settings: { max_slot_wal_keep_size: '1GB' } });
  const stack = useRunStack();

  test('gets them from its archived log, without any data read, and none under a policy that archives no log', async () => {
    const made = await protectDatabase(stack, source);
    await stack.startWorker({ queues: 'control,data,stream' });
    const refused = await attach(
      stack,
      await makePolicy(stack, made.destination.id, { pitr: false }),
      made.database.id,
    );
    expect(refused).toMatchObject({ status: 'error', lastError: { code: 'not_supported' }, chainId: null });
    await stack.catalog.prisma.attachment.update({
      where: { id: refused.id },
      data: { activeKey: null, status: 'detached' },
    });
    const row = await attach(stack, await makePolicy(stack, made.destination.id, { pitr: true }), made.database.id);
    expect(row).toMatchObject({ status: 'active', pitrStatus: 'active', lastError: null });
    const chainId = row.chainId ?? '';
    const full = await stack.catalog.prisma.backup.findFirstOrThrow({ where: { chainId } });
    let parentId = full.id;
    for (let round = 0; round < 2; round += 1) {
      await source.query(`insert into city (name) select 'new ' || i from generate_series(1, 500) i`, made.name);
      const incremental = await settledBackup(stack, await askForRun(stack, chainId, 'incremental'), 180_000);
      expect(incremental).toMatchObject({
        ...{ status: 'completed', kind: 'incremental', parentId, bytes: 0n, epoch: full.epoch, error: null },
      });
      const chain = await stack.catalog.prisma.chain.findUniqueOrThrow({ where: { id: chainId } });
      expect(chain.coveredTo?.getTime()).toBeGreaterThanOrEqual(incremental.takenAt?.getTime() ?? Infinity);
      parentId = incremental.id;
    }
  }, 500_000);
});

describeEngine('pg17', 'a server with a replica', () => {
  const source = usePrivateEngine('pg17', { settings });
  const another = usePrivateEngine('pg17', { settings });
  const stack = useRunStack();
  let standby: PostgresCopy;
  /** A standby, but of another server. */
  let stranger: PostgresCopy;
  beforeAll(async () => {
    standby = await copyPostgres(source, { standby: true });
    await standby.start();
    // Further on in its own log, so that nobody takes it for one that is behind.
    await another.query(`select pg_logical_emit_message(false, 'tidemark', repeat('x', 64000000))`);
    stranger = await copyPostgres(another, { standby: true });
    await stranger.start();
  }, 180_000);
  afterAll(async () => {
    await standby.remove();
    await stranger.remove();
  });

  /** A checkpoint of the source that the standby has made its own. */
  async function restartPoint(): Promise<void> {
    await source.query('checkpoint');
    const [end] = await source.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
    const replayed = `select pg_last_wal_replay_lsn() >= '${end?.lsn}' as done`;
    await until(
      async () => (await standby.query<{ done: boolean }>(replayed))[0]?.done,
      'the standby to follow',
      60_000,
    );
    await standby.query('checkpoint');
  }

  test('is read from the replica while that follows, from the primary when it does not, and people are told of the change', async () => {
    const made = await protectDatabase(stack, source);
    await stack.startWorker({ queues: 'control,data,stream' });
    const policyId = await makePolicy(stack, made.destination.id, { pitr: true });
    const row = await attach(stack, policyId, made.database.id);
    expect(row).toMatchObject({ status: 'active', lastError: null });
    const register = async ({ adminUser: username, adminPassword: password }: TestEngine, { port }: PostgresCopy) =>
      await createDatabase(stack.context, stack.admin, {
        ...{ name: `replica ${port}`, engine: 'postgresql', host: source.host, port, username, password },
        ...{ database: made.name, primaryId: made.database.id },
      });
    // Under the wrong primary it is nobody's source, whatever it says of itself.
    await register(another, stranger);
    const replica = await register(source, standby);
    const take = async (kind: 'full' | 'incremental') =>
      await settledBackup(stack, await askForRun(stack, row.chainId ?? '', kind), 180_000);
    const told = () =>
      stack.catalog.prisma.notification.findMany({ where: { event: 'source_changed' }, orderBy: { createdAt: 'asc' } });
    const from = await take('full');
    expect(from).toMatchObject({ status: 'completed', sourceDatabaseId: replica.id, error: null });
    expect(await told()).toMatchObject([{ backupId: from.id, policyId }]);
    // A standby gives none before its next restart point: the primary takes it, and it stays an incremental.
    const refused = await take('incremental');
    expect(refused).toMatchObject({ status: 'completed', kind: 'incremental', fellBack: null, parentId: from.id });
    expect(refused).toMatchObject({ sourceDatabaseId: null, error: null });
    expect(await told()).toMatchObject([{ backupId: from.id }, { backupId: refused.id }]);
    await standby.query('select pg_wal_replay_pause()');
    await source.query('create table later (n int)', made.name);
    const behind = await take('full');
    expect(behind).toMatchObject({ status: 'completed', sourceDatabaseId: null, error: null });
    await standby.query('select pg_wal_replay_resume()');
    await restartPoint();
    const again = await take('incremental');
    expect(again).toMatchObject({ status: 'completed', kind: 'incremental', fellBack: null, parentId: behind.id });
    expect(again).toMatchObject({ sourceDatabaseId: replica.id, error: null });
    await standby.kill();
    const primary = await take('full');
    expect(primary).toMatchObject({ status: 'completed', sourceDatabaseId: null, error: null });
    const all = [from, refused, again, primary].map(({ id }) => ({ backupId: id }));
    expect(await told()).toMatchObject(all);
    // A server of its own under the name of a replica is not read.
    await standby.start();
    await standby.query('select pg_promote()');
    const promoted = await take('full');
    expect(promoted).toMatchObject({ status: 'completed', sourceDatabaseId: null, error: null });
    expect(await told()).toHaveLength(4);
  }, 600_000);
});
