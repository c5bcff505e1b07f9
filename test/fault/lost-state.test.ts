import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { createShop } from '../support/shop.js';
import { withTemporal } from '../support/temporal-of.js';
import { useTidemark } from '../support/tidemark.js';
import { until } from '../support/until.js';
import { useWorkerFaults } from '../support/worker-faults.js';

describe('state that is lost', () => {
  describeEngine('pg17', 'with a scheduled plan on PostgreSQL', () => {
    const faults = useWorkerFaults(['dump-running']);
    const tidemark = useTidemark(faults.env);
    const engine = useEngine('pg17');
    const stored = () =>
      readdirSync(join(tidemark.home, 's3/data/tidemark'), { recursive: true, encoding: 'utf8' })
        .filter((path) => path.includes('/attempts/') || path.includes('/backups/'))
        .sort();

    it('Temporal: its schedules come back, a run that was under way settles, nothing stored is deleted', async () => {
      const databaseId = await tidemark.registerDatabase(engine, await createShop(engine));
      const planId = await tidemark.createPlan(databaseId, await tidemark.createDestination('lost-temporal'), {
        schedule: { type: 'cron', expression: '0 3 * * *', timezone: 'UTC' },
      });
      const kept = await tidemark.backUp(planId);
      expect(kept.status).toBe('completed');
      const before = stored();
      await until(
        async () => (await listSchedules(tidemark.home)).some((id) => id.includes(planId)),
        'the schedule',
        60_000,
      );

      faults.arm('dump-running');
      const { id } = await tidemark.api.post<{ id: string }>('/v1/backups', { planId });
      await faults.reached('dump-running');
      await tidemark.process.kill();
      rmSync(join(tidemark.home, 'temporal'), { recursive: true });
      faults.go('dump-running');
      await tidemark.restart();

      const settled = await tidemark.api.untilSettled<BackupResource>(`/v1/backups/${id}`);
      expect(['completed', 'failed']).toContain(settled.status);
      await until(
        async () => (await listSchedules(tidemark.home)).some((name) => name.includes(planId)),
        'the schedule',
        90_000,
      );
      expect(stored()).toEqual(expect.arrayContaining(before));
      expect((await tidemark.backUp(planId)).status).toBe('completed');
    });

    it('the catalog put back to yesterday: schedules of forgotten plans go, what is stored stays', async () => {
      const databaseId = await tidemark.registerDatabase(engine, await createShop(engine));
      const destinationId = await tidemark.createDestination('yesterday');
      const oldPlan = await tidemark.createPlan(databaseId, destinationId, {
        schedule: { type: 'interval', everySeconds: 86_400 },
      });
      expect((await tidemark.backUp(oldPlan)).status).toBe('completed');

      await tidemark.process.stop();
      const catalog = join(tidemark.home, 'database');
      const yesterday = join(tidemark.home, 'yesterday');
      copyFolder(catalog, yesterday);
      await tidemark.restart();

      const newPlan = await tidemark.createPlan(databaseId, destinationId, {
        schedule: { type: 'interval', everySeconds: 86_400 },
      });
      const forgotten = await tidemark.backUp(newPlan);
      expect(forgotten.status).toBe('completed');
      await until(
        async () => (await listSchedules(tidemark.home)).some((id) => id.includes(newPlan)),
        'the schedule',
        60_000,
      );
      const before = stored();

      await tidemark.process.stop();
      rmSync(catalog, { recursive: true });
      copyFolder(yesterday, catalog);
      await tidemark.restart();

      await until(
        async () => !(await listSchedules(tidemark.home)).some((id) => id.includes(newPlan)),
        'the forgotten schedule to go',
        90_000,
      );
      expect((await listSchedules(tidemark.home)).some((id) => id.includes(oldPlan))).toBe(true);
      expect((await tidemark.api.send('GET', `/v1/backups/${forgotten.id}`)).status).toBe(404);
      expect(stored()).toEqual(before);
      expect((await tidemark.backUp(oldPlan)).status).toBe('completed');
    });
  });
});

/** With owners: the server's user must be able to read its data again. */
function copyFolder(from: string, to: string): void {
  execFileSync('cp', ['-a', from, to]);
}

async function listSchedules(home: string): Promise<string[]> {
  return await withTemporal(home, async (client) => {
    const ids: string[] = [];
    for await (const schedule of client.schedule.list()) ids.push(schedule.scheduleId);
    return ids;
  });
}
