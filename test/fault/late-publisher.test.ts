/** An attempt publishes after its run was settled, and is killed before it can take that back (docs/decisions/0004). */
import { rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { downloadBackup } from '../../src/usecases/download-backup.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { backupWorkflowId, taskQueues } from '../../src/workflows/names.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { protectDatabase, storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';

describeEngine('pg17', 'a manifest of a run that was settled without a backup', () => {
  const source = useEngine('pg17');
  const stack = useRunStack();
  type Protected = Awaited<ReturnType<typeof protectDatabase>>;

  /** Publishes, settles the row as somebody who did not see the manifest, and kills everything at that moment. */
  async function publishLate(count: number): Promise<(Protected & { id: string })[]> {
    const all: (Protected & { id: string })[] = [];
    for (let index = 0; index < count; index += 1) {
      const fault = stack.placeFaults(['after-manifest']);
      const worker = await stack.startWorker({ faults: fault.setting });
      const known = await protectDatabase(stack, source);
      const { id } = await requestBackup(stack.context, stack.admin, { planId: known.plan.id });
      await fault.reached('after-manifest');
      await worker.kill();
      await stack.temporal.client.workflow.getHandle(backupWorkflowId(id)).terminate();
      all.push({ ...known, id });
    }
    return all;
  }

  const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
  const settle = ({ id }: { id: string }, status: 'failed' | 'cancelled', at: Date) =>
    stack.catalog.prisma.backup.update({
      where: { id },
      data: {
        status,
        activeKey: null,
        completedAt: at,
        fencingToken: { increment: 1 },
        error: { code: status === 'failed' ? 'workflow_lost' : 'cancelled', message: 'settled' },
      },
    });
  const manifestFile = ({ bucket, database, id }: Protected & { id: string }) =>
    join(stack.store.dataDir, bucket, `tidemark/v1/${database.id}/backups/${id}/manifest.json`);
  const keepHouse = () =>
    stack.temporal.client.workflow.execute('housekeeping', {
      taskQueue: taskQueues.control,
      workflowId: uniqueName('housekeeping'),
    });
  const row = ({ id }: { id: string }) => stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id } });
  const audited = async ({ id }: { id: string }) =>
    (await stack.catalog.prisma.auditEvent.findMany({ where: { objectId: id, userId: null } })).map((it) => it.action);

  test('is adopted when the run failed and all of it is there, else removed with all that lies under it; at rest, not before', async () => {
    const all = await publishLate(4);
    const [whole, cancelled, holed, young] = all as [
      (typeof all)[0],
      (typeof all)[0],
      (typeof all)[0],
      (typeof all)[0],
    ];
    await settle(whole, 'failed', minutesAgo(60));
    await settle(cancelled, 'cancelled', minutesAgo(60));
    await settle(holed, 'failed', minutesAgo(60));
    await settle(young, 'failed', minutesAgo(1));
    const [victim] = (await storedKeys(stack, holed.bucket)).filter((key) => key.includes('dump'));
    rmSync(join(stack.store.dataDir, holed.bucket, victim ?? ''));

    const before = await storedKeys(stack, whole.bucket);
    const worker = await stack.startWorker();
    await keepHouse();
    // The manifests are seconds old: their writers may be about to take them back.
    for (const each of all) expect(await audited(each)).toEqual([]);
    for (const each of all) utimesSync(manifestFile(each), minutesAgo(30), minutesAgo(30));
    await keepHouse();

    expect(await row(whole)).toMatchObject({ status: 'completed', error: null, manifestKey: expect.any(String) });
    expect(await audited(whole)).toEqual(['backup.late_adopted']);
    expect(await storedKeys(stack, whole.bucket)).toEqual(before);
    const signal = AbortSignal.timeout(30_000);
    const { stream } = await downloadBackup(stack.context, stack.admin, { backupId: whole.id, signal });
    let head = '';
    for await (const chunk of stream as AsyncIterable<Buffer>) head ||= chunk.subarray(0, 5).toString();
    expect(head).toBe('PGDMP');

    for (const [each, status] of [
      [cancelled, 'cancelled'],
      [holed, 'failed'],
    ] as const) {
      expect((await row(each)).status).toBe(status);
      expect(await audited(each)).toEqual(['backup.late_removed']);
      expect(await storedKeys(stack, each.bucket)).toEqual(['tidemark/v1/owner.json']);
    }
    expect((await row(young)).status, 'settled a minute ago').toBe('failed');
    expect(await storedKeys(stack, young.bucket)).toContain(
      `tidemark/v1/${young.database.id}/backups/${young.id}/manifest.json`,
    );
    await worker.stop();
  }, 240_000);
});
