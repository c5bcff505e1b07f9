import { describe, expect, it } from 'vitest';
import type { RestoreResource } from '../../src/domain/schemas/restores.js';
import { engineProducts } from '../../src/platform/installed.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { countOrders, createShop } from '../support/shop.js';
import { useTidemark } from '../support/tidemark.js';

describe('a database of every engine, through the API alone', () => {
  const tidemark = useTidemark();

  for (const product of engineProducts) {
    describeEngine(product, product, () => {
      const engine = useEngine(product);

      it('is backed up, restored under another name and proven equal to its source', async () => {
        const database = await createShop(engine);
        const databaseId = await tidemark.registerDatabase(engine, database);
        const planId = await tidemark.createPlan(databaseId, await tidemark.createDestination(product));

        const backup = await tidemark.backUp(planId);
        expect(backup).toMatchObject({ status: 'completed', error: null, fingerprintUnavailable: null, proof: null });
        expect(backup.storedBytes).toBeGreaterThan(1_000);

        const copy = uniqueName('copy');
        const restore = await tidemark.restore({
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'server', databaseId, database: copy },
        });
        expect(restore).toMatchObject({ status: 'completed', error: null, proof: 'source', previousName: null });
        expect(restore.comparison).toMatchObject({ equal: true, differences: [] });
        expect(await countOrders(engine, copy)).toBe(2_000);
        expect(await tidemark.api.get(`/v1/backups/${backup.id}`)).toMatchObject({ proof: 'source' });
        expect(await stagingOf(engine, restore.id)).toEqual([]);
        await engine.dropDatabase(copy);
      });

      it('goes back over its original, keeps what was there, and can be reverted', async () => {
        const database = await createShop(engine);
        const databaseId = await tidemark.registerDatabase(engine, database);
        const planId = await tidemark.createPlan(databaseId, await tidemark.createDestination(`${product}-original`));
        const backup = await tidemark.backUp(planId);
        expect(backup.status).toBe('completed');
        await engine.query('delete from orders where id > 500', database);

        const refused = await tidemark.api.send('POST', '/v1/restores', {
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'original' },
          overwrite: true,
        });
        expect(refused.status).toBe(422);
        expect(await refused.json()).toMatchObject({ code: 'confirmation_required' });

        const restore = await tidemark.restore({
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'original' },
          overwrite: true,
          confirmOverwrite: true,
        });
        expect(restore).toMatchObject({ status: 'completed', error: null, proof: 'source', revertible: true });
        expect(await countOrders(engine, database)).toBe(2_000);
        expect(restore.previousName).toContain(restore.id);
        expect(await stagingOf(engine, restore.id)).toEqual([]);

        await tidemark.api.post(`/v1/restores/${restore.id}/revert`);
        await expect
          .poll(async () => (await tidemark.api.get<RestoreResource>(`/v1/restores/${restore.id}`)).revertedAt, {
            timeout: 60_000,
          })
          .not.toBeNull();
        expect(await countOrders(engine, database)).toBe(500);
      });

      it('refuses to restore over what exists unless told to, and leaves it alone', async () => {
        const database = await createShop(engine, 50);
        const occupied = await createShop(engine, 10);
        const databaseId = await tidemark.registerDatabase(engine, database);
        const planId = await tidemark.createPlan(databaseId, await tidemark.createDestination(`${product}-refused`));
        const backup = await tidemark.backUp(planId);

        const restore = await tidemark.restore({
          source: { kind: 'backup', backupId: backup.id },
          target: { kind: 'server', databaseId, database: occupied },
        });
        expect(restore.status).toBe('failed');
        expect(restore.error?.code).toMatch(/^target_(exists|not_empty)$/);
        expect(await countOrders(engine, occupied)).toBe(10);
      });
    });
  }
});

/** Staging databases of a restore that are still on the server. */
async function stagingOf(engine: TestEngine, restoreId: string): Promise<string[]> {
  const rows = await engine.query<{ name: string }>(
    engine.engine === 'postgresql'
      ? 'select datname as name from pg_database'
      : 'select schema_name as name from information_schema.schemata',
  );
  return rows.map((row) => row.name).filter((name) => name.startsWith(`tm_stage_${restoreId}`));
}
