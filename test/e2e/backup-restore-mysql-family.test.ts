/** The same way as PostgreSQL's, once through with MySQL and MariaDB: dump, copy, overwrite in place, revert. */
import { expect, test } from 'vitest';
import { getRestore } from '../../src/usecases/get-restore.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { revertRestore } from '../../src/usecases/revert-restore.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, settledRestore } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

const schema = `
  create table country (code char(2) primary key, name varchar(100) not null);
  insert into country values ('DE', 'Germany'), ('FR', 'France');
  create table city (id bigint auto_increment primary key, name varchar(100) not null, country char(2), note varbinary(64), foreign key (country) references country (code));
  insert into city (name, country, note) values ('city 1', 'DE', x'00ff'), ('city 2', 'FR', null), ('Zürich 😀', null, x'');
  create view german as select * from city where country = 'DE';
  create function greet(who varchar(50)) returns varchar(60) deterministic return concat('hello ', who);
  create trigger city_name before insert on city for each row set new.name = trim(new.name);
`;

for (const product of ['mysql', 'mariadb', 'mariadb1011'] as const) {
  describeEngine(product, `a backup and a restore of a ${product} database`, () => {
    const source = useEngine(product);
    const stack = useRunStack();

    test('a dump is completed, restored under another name, proven equal, put in place and reverted', async () => {
      const worker = await stack.startWorker();
      const { plan, database, name } = await protectDatabase(stack, source, { schema });
      const { id } = await requestBackup(stack.context, stack.admin, { planId: plan.id });
      const backup = await settledBackup(stack, id);
      expect(backup, JSON.stringify(backup.error)).toMatchObject({ status: 'completed', fingerprintUnavailable: null });

      const copy = uniqueName('copy');
      const into = await requestRestore(stack.context, stack.admin, {
        source: { kind: 'backup', backupId: id },
        target: { kind: 'server', databaseId: database.id, database: copy },
        overwrite: false,
        confirmOverwrite: false,
        keepPreviousHours: 24,
      });
      const restored = await settledRestore(stack, into.id);
      expect(restored, JSON.stringify([restored.error, restored.comparison])).toMatchObject({
        status: 'completed',
        proof: 'source',
      });

      await source.query(`update city set name = 'changed' where id = 1`, name);
      const over = await requestRestore(stack.context, stack.admin, {
        source: { kind: 'backup', backupId: id },
        target: { kind: 'original' },
        overwrite: true,
        confirmOverwrite: true,
        keepPreviousHours: 24,
      });
      const replaced = await settledRestore(stack, over.id);
      expect(replaced, JSON.stringify(replaced.error)).toMatchObject({ status: 'completed' });
      const first = async () =>
        (await source.query<{ name: string }>('select name from city where id = 1', name))[0]?.name;
      expect(await first()).toBe('city 1');
      await revertRestore(stack.context, stack.admin, { restoreId: over.id });
      await until(
        async () => (await getRestore(stack.context, stack.admin, { restoreId: over.id })).revertedAt,
        'the revert',
        60_000,
      );
      expect(await first()).toBe('changed');
      await worker.stop();
    }, 300_000);
  });
}
