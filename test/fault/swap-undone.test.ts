/** A swap that cannot be finished on a real server, and a revert whose worker dies: the target is what it was, or what was asked for. */
import { expect, test } from 'vitest';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { revertRestore } from '../../src/usecases/revert-restore.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, settledRestore } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

const schemas = {
  pg17: `create table city (id int primary key, name text not null);
    create table seen (city int);
    create table extra (id int);
    insert into city values (1, 'city 1'), (2, 'city 2');
    create function note() returns trigger language plpgsql as $$ begin insert into seen values (new.id); return new; end $$;
    create trigger city_seen after insert on city for each row execute function note();
    create view first_city as select * from city where id = 1;`,
  mysql: `create table city (id int primary key, name varchar(100) not null);
    create table seen (city int);
    create table extra (id int);
    insert into city values (1, 'city 1'), (2, 'city 2');
    create view first_city as select * from city where id = 1;
    create function greet(who varchar(50)) returns varchar(60) deterministic return concat('hello ', who);
    create trigger city_seen after insert on city for each row insert into seen values (new.id)`,
} as const;

/** What comes in the way between the plan of the swap and its first step. */
const obstacles: Record<
  keyof typeof schemas,
  (engine: TestEngine, target: string, restoreId: string) => Promise<void>
> = {
  // The name under which the former content was to be kept.
  pg17: async (engine, target, restoreId) =>
    void (await engine.query(`create database "${target}__before_${restoreId}"`)),
  // A table under one of the names that hide the tables in the middle.
  mysql: async (engine, target) => {
    for (const number of [0, 1, 2]) await engine.query(`create table tidemark__out_${number} (mine int)`, target);
    await engine.query('insert into tidemark__out_1 values (42)', target);
  },
};

for (const product of ['pg17', 'mysql'] as const) {
  describeEngine(product, `a swap on ${product} that something comes in the way of`, () => {
    const source = useEngine(product);
    const stack = useRunStack();

    const overwrite = async (backupId: string) =>
      (
        await requestRestore(stack.context, stack.admin, {
          source: { kind: 'backup', backupId },
          target: { kind: 'original' },
          overwrite: true,
          confirmOverwrite: true,
          keepPreviousHours: 24,
        })
      ).id;
    const databases = async () =>
      source.engine === 'postgresql'
        ? (await source.query<{ n: string }>('select datname as n from pg_database')).map((row) => row.n)
        : (await source.query<{ n: string }>('select schema_name as n from information_schema.schemata')).map(
            (row) => row.n,
          );
    /** As an application finds it: rows, a view, and a trigger that works. */
    async function contentOf(database: string, insertId: number) {
      await source.query(`insert into city values (${insertId}, 'new')`, database);
      const seen = await source.query<{ city: number }>(`select city from seen where city = ${insertId}`, database);
      const [first] = await source.query<{ name: string }>('select name from first_city', database);
      return { seen: seen.length, first: first?.name };
    }

    test('is undone when a step fails, with the target as it was; afterwards a restore succeeds, and a revert goes on after a kill -9 in its middle', async () => {
      const fault = stack.placeFaults(['swap-planned', 'revert-after-2']);
      const worker = await stack.startWorker({ faults: fault.setting });
      const { plan, name } = await protectDatabase(stack, source, { schema: schemas[product] });
      const { id: backupId } = await requestBackup(stack.context, stack.admin, { planId: plan.id });
      expect((await settledBackup(stack, backupId)).status).toBe('completed');
      await source.query(`update city set name = 'changed' where id = 1`, name);
      await source.query('drop table extra', name);

      const failing = await overwrite(backupId);
      await fault.reached('swap-planned');
      await obstacles[product](source, name, failing);
      fault.release('swap-planned');
      const failed = await settledRestore(stack, failing);
      expect(failed, JSON.stringify(failed.error)).toMatchObject({
        status: 'failed',
        error: { code: 'swap_failed', message: expect.stringContaining('was undone; the target is as it was') },
        activeKey: null,
        stagingName: null,
        previousName: null,
      });
      const journals = await stack.catalog.prisma.swapJournal.findMany({ where: { restoreId: failing } });
      expect(journals.map((journal) => journal.state)).toEqual(['undone']);
      expect(await contentOf(name, 10)).toEqual({ seen: 1, first: 'changed' });
      if (product === 'mysql') {
        expect(await source.query('select mine from tidemark__out_1', name)).toEqual([{ mine: 42 }]);
        await source.query('drop table tidemark__out_0, tidemark__out_1, tidemark__out_2', name);
      }
      expect((await databases()).filter((database) => database.startsWith('tm_stage_'))).toEqual([]);

      const restoring = await overwrite(backupId);
      const restored = await settledRestore(stack, restoring);
      expect(restored, JSON.stringify(restored.error)).toMatchObject({ status: 'completed', proof: 'source' });
      expect(await contentOf(name, 11)).toEqual({ seen: 1, first: 'city 1' });

      await revertRestore(stack.context, stack.admin, { restoreId: restoring });
      await fault.reached('revert-after-2');
      await worker.kill();
      const next = await stack.startWorker();
      const row = () => stack.catalog.prisma.restore.findUniqueOrThrow({ where: { id: restoring } });
      await until(async () => (await row()).revertedAt, 'the revert', 90_000);
      expect(await row()).toMatchObject({ revertError: null, activeKey: null });
      expect(await contentOf(name, 12)).toEqual({ seen: 1, first: 'changed' });
      // What the restore had put there is kept aside.
      expect(await databases()).toContain((await row()).previousName);
      await next.stop();
    }, 240_000);
  });
}
