/** The source of a log archive dies and a registered replica is promoted: the archive goes on there, in the same epoch. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, expect, test } from 'vitest';
import { cleanUpSource } from '../../src/activities/people/clean-up-source.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { activityDeps } from '../support/activity-deps.js';
import { archiveServer } from '../support/archived-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { registerReplica } from '../support/register-replica.js';
import { useRunStack } from '../support/run-stack.js';
import type { PostgresCopy } from '../support/start-standby.js';
import { copyPostgres } from '../support/start-standby.js';
import { until } from '../support/until.js';

describeEngine('pg17', 'the log archive of a PostgreSQL server with a registered replica', () => {
  const source = usePrivateEngine('pg17');
  const stack = useRunStack();
  const root = mkdtempSync(join(tmpdir(), 'tm-promotion-'));
  let standby: PostgresCopy | undefined;
  afterAll(async () => {
    await standby?.remove();
    rmSync(root, { recursive: true, force: true });
  });

  test('holds the log there beforehand, and goes on without a gap after its promotion', async () => {
    const server = await archiveServer(stack, source, getChainEngine('postgresql'), {
      schema: 'create table written (n int primary key)',
    });
    // A source that is silent for a minute is taken for dead; here for a quarter of one.
    const worker = await stack.startWorker({ queues: 'control,data,stream', faults: 'wait=source-silent:15000' });
    await server.wake();
    await server.caughtUp();
    const copy = await copyPostgres(source, { standby: true });
    standby = copy;
    await copy.start();
    const { prisma } = stack.catalog;
    const replicaId = await registerReplica(stack, server, source, copy);
    await server.wake();
    const { slotName } = await server.chain();
    await until(
      async () => (await copy.query(`select 1 from pg_replication_slots where slot_name = '${slotName}'`)).length === 1,
      'the slot on the replica',
      90_000,
    );

    await source.query('insert into written select generate_series(1, 1000)', server.name);
    await server.caughtUp();
    await source.kill();
    await copy.query('select pg_promote()');
    await copy.query('create table after_promotion (n int); insert into after_promotion values (1)');
    const promotedAt = Date.now();
    await until(
      async () => ((await server.chain()).coveredTo?.getTime() ?? 0) > promotedAt,
      'the log of the new primary to be covered',
      240_000,
    );

    expect(await prisma.logGap.count({ where: { chainId: server.chainId } })).toBe(0);
    expect(await server.chain()).toMatchObject({ archiveEpoch: 0, sourceDatabaseId: replicaId });
    const dir = mkdtempSync(join(root, 'wal-'));
    const files = await server.assemble(0, dir);
    const names = files.map(({ name }) => name);
    expect(names).toContain('00000002.history');
    expect(names.some((name) => name.startsWith('00000002') && !name.endsWith('.history'))).toBe(true);
    expect(await prisma.notification.count({ where: { event: 'source_changed', policyId: server.policyId } })).toBe(1);

    // What holds the log on the former primary would be moved by nobody: it goes as soon as that server answers again.
    const cleanup = await prisma.sourceCleanup.findFirstOrThrow({ where: { name: slotName, doneAt: null } });
    expect(cleanup).toMatchObject({ host: source.host, port: source.port, databaseId: server.database.id });
    await source.restart();
    const held = 'select 1 from pg_replication_slots where slot_name = ';
    expect(await source.query(`${held}'${slotName}'`)).toHaveLength(1);
    const tried = new MockActivityEnvironment().run(cleanUpSource(activityDeps(stack)), { cleanupId: cleanup.id });
    expect(await tried).toEqual({ done: true });
    expect(await source.query(`${held}'${slotName}'`)).toEqual([]);
    expect(await copy.query(`${held}'${slotName}'`)).toHaveLength(1);
    await worker.stop();
  }, 600_000);
});
