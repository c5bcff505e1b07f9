/** Temporal dies, and then loses all it knew, while the log of a server is followed: the archive goes on, and nothing of the log is lost. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, it } from 'vitest';
import type { Page } from '../../src/domain/schemas/common.js';
import type { NotificationResource } from '../../src/domain/schemas/notifications.js';
import type { AttachmentResource } from '../../src/domain/schemas/policies.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { attach, backUpServer, createPolicy, untilCovered, windowOf } from '../support/policy-client.js';
import { withTemporal } from '../support/temporal-of.js';
import { useTidemark } from '../support/tidemark.js';
import { until } from '../support/until.js';

describeEngine('pg17', 'the archive of a server whose Temporal is killed', () => {
  const tidemark = useTidemark();
  const source = usePrivateEngine('pg17', { settings: { max_slot_wal_keep_size: '1GB' } });
  let database: string;
  let databaseId: string;
  let policyId: string;
  let serverId: string;
  let from: string;

  beforeAll(async () => {
    database = await source.createDatabase();
    await source.query('create table written (n bigint generated always as identity, pad text)', database);
    databaseId = await tidemark.registerDatabase(source, database);
    policyId = await createPolicy(tidemark, await tidemark.createDestination('temporal-killed'));
    serverId = (await attach(tidemark, policyId, databaseId)).serverId ?? '';
    from = (await untilCovered(tidemark, databaseId)).from ?? '';
  }, 600_000);

  const write = (rows: number) =>
    source.query(`insert into written (pad) select repeat('x', 300) from generate_series(1, ${rows})`, database);
  const rows = async (name: string) =>
    Number((await source.query<{ n: string }>('select count(*) as n from written', name))[0]?.n);

  /** Entities of this server that run. */
  const entities = () =>
    withTemporal(tidemark.home, async (client) => {
      const found: string[] = [];
      for await (const { workflowId } of client.workflow.list({ query: `ExecutionStatus = 'Running'` }))
        if (/^(chain|archive)\//.test(workflowId) && workflowId.endsWith(`/${serverId}`)) found.push(workflowId);
      return found.map((id) => id.slice(0, id.indexOf('/'))).toSorted();
    });

  /** Waits until both entities run; the reconciler looks every half minute, and Temporal may not listen yet. */
  const untilBothRun = () =>
    until(
      async () => {
        await sleep(500);
        const running = await entities().catch(() => []);
        return running.join() === 'archive,chain';
      },
      'both entities of the server',
      180_000,
    );

  /** One window since the attachment, reaching to now, and nobody was told of a gap. */
  async function expectUnbroken(): Promise<void> {
    await untilCovered(tidemark, databaseId, 240_000);
    expect(await windowOf(tidemark, databaseId)).toMatchObject({ from, runs: [{ from }] });
    const { items } = await tidemark.api.get<Page<NotificationResource>>('/v1/notifications');
    expect(items.filter(({ event }) => event === 'pitr_gap')).toEqual([]);
    expect(
      await tidemark.api.get<AttachmentResource>(`/v1/policies/${policyId}/attachments/${databaseId}`),
    ).toMatchObject({ status: 'active', pitrStatus: 'active', pitrError: null });
  }

  async function expectAllRecovered(): Promise<void> {
    const copy = uniqueName('copy');
    const restore = await tidemark.restore({
      source: { kind: 'pitr', databaseId },
      target: { kind: 'server', databaseId, database: copy },
    });
    expect(restore).toMatchObject({ status: 'completed', error: null });
    expect(await rows(copy)).toBe(await rows(database));
  }

  it('goes on with the same state after a kill -9, over commits made meanwhile', async () => {
    await untilBothRun();
    const killed = tidemark.process.run().pids.temporal ?? 0;
    await write(50);
    process.kill(killed, 'SIGKILL');
    await write(50);
    await until(() => (tidemark.process.run().pids.temporal ?? killed) !== killed, 'Temporal to be back', 90_000);
    await write(50);
    await expectUnbroken();
    await untilBothRun();
  }, 500_000);

  it('is brought back with its chain when all that Temporal knew is lost', async () => {
    await write(50);
    await tidemark.process.kill();
    rmSync(join(tidemark.home, 'temporal'), { recursive: true });
    await write(50);
    await tidemark.restart();
    await untilBothRun();
    await write(50);
    await expectUnbroken();
    await backUpServer(tidemark, databaseId, 'incremental');
    await expectAllRecovered();
  }, 800_000);
});
