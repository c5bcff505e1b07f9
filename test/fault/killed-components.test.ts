import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { RestoreResource } from '../../src/domain/schemas/restores.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { countOrders, createShop } from '../support/shop.js';
import { useTidemark } from '../support/tidemark.js';
import { until } from '../support/until.js';
import { useWorkerFaults } from '../support/worker-faults.js';

describe('a component that is killed in the middle of a run', () => {
  describeEngine('pg17', 'on PostgreSQL', () => {
    const faults = useWorkerFaults(['dump-running', 'loading']);
    const tidemark = useTidemark(faults.env);
    const engine = useEngine('pg17');

    for (const component of ['temporal', 'database', 's3', 'up'] as const) {
      it(`${component} during a backup: the run ends finished or with a reason, and the next one completes`, async () => {
        const databaseId = await tidemark.registerDatabase(engine, await createShop(engine));
        const destination = `killed-${component}`;
        const planId = await tidemark.createPlan(databaseId, await tidemark.createDestination(destination));

        faults.arm('dump-running');
        const { id } = await tidemark.api.post<{ id: string }>('/v1/backups', { planId });
        await faults.reached('dump-running');
        if (component === 'up') {
          await tidemark.process.kill();
          await tidemark.restart();
        } else {
          const pid = tidemark.process.run().pids[component] ?? 0;
          process.kill(pid, 'SIGKILL');
        }
        faults.go('dump-running');

        const settled = await tidemark.api.untilSettled<BackupResource>(`/v1/backups/${id}`);
        expect(['completed', 'failed']).toContain(settled.status);
        if (settled.status === 'failed') expect(settled.error).toMatchObject({ code: expect.any(String) });
        const next = await tidemark.backUp(planId);
        expect(next).toMatchObject({ status: 'completed', error: null });

        const published = storedFiles(tidemark.home, destination).filter((path) => path.endsWith('manifest.json'));
        expect(published).toHaveLength(settled.status === 'completed' ? 2 : 1);
        expect(storedFiles(tidemark.home, '').filter((path) => path.includes('.sgwtmp/multipart'))).toEqual([]);
      });
    }

    for (const component of ['temporal', 'database', 's3'] as const) {
      it(`${component} while staging is loaded: the target is whole, and nothing is left beside it`, async () => {
        const database = await createShop(engine);
        const databaseId = await tidemark.registerDatabase(engine, database);
        const planId = await tidemark.createPlan(databaseId, await tidemark.createDestination(`loading-${component}`));
        const backup = await tidemark.backUp(planId);
        await engine.query('delete from orders where id <= 10', database);

        faults.arm('loading');
        const { id } = await tidemark.api.post<{ id: string }>('/v1/restores', {
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'original' },
          overwrite: true,
          confirmOverwrite: true,
          keepPreviousHours: 0,
        });
        await faults.reached('loading');
        process.kill(tidemark.process.run().pids[component] ?? 0, 'SIGKILL');
        faults.go('loading');

        const restore = await tidemark.api.untilSettled<RestoreResource>(`/v1/restores/${id}`);
        expect(['completed', 'failed']).toContain(restore.status);
        expect(await countOrders(engine, database)).toBe(restore.status === 'completed' ? 2_000 : 1_990);
        await until(
          async () =>
            (await engine.query(`select 1 from pg_database where datname like 'tm\\_stage\\_%${id}%'`)).length === 0,
          'the staging database to be dropped',
          60_000,
        );
        const copy = uniqueName('copy');
        const again = await tidemark.restore({
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'server', databaseId, database: copy },
        });
        expect(again).toMatchObject({ status: 'completed', proof: 'source' });
        await engine.dropDatabase(copy);
      });
    }
  });
});

function storedFiles(home: string, prefix: string): string[] {
  return readdirSync(join(home, 's3/data/tidemark', prefix), { recursive: true, encoding: 'utf8' });
}
