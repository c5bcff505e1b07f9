import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { mariadbBrand } from '../../src/engines/mariadb/brand.js';
import { mysqlBrand } from '../../src/engines/mysql/brand.js';
import { holdWrites } from '../../src/engines/mysql-family/hold-writes.js';
import { openSession } from '../../src/engines/mysql-family/session.js';
import { listTables } from '../../src/engines/mysql-family/table-shapes.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { connectionTo } from './contract.js';

for (const product of ['mysql', 'mariadb'] as const) {
  describeEngine(product, `the short lock of a dump on ${product}`, () => {
    const server = useEngine(product);

    it('is ended by the server when its worker stops while it holds it', async () => {
      const schema = await server.createDatabase();
      await server.query('CREATE TABLE item (id int PRIMARY KEY)', schema);
      const { signal } = new AbortController();
      const open = () => openSession(connectionTo(server, schema), { database: schema, name: 'tidemark dump', signal });
      const [control, helper, application] = [await open(), await open(), await open()];
      const brand = product === 'mysql' ? mysqlBrand : mariadbBrand;
      const hold = await holdWrites(control, helper, brand, schema, await listTables(helper, schema));
      if ('refused' in hold) throw new Error(hold.message);
      // From here on the holder says nothing more, as a worker that is stopped, or whose host is gone.
      await application.raw('SET SESSION lock_wait_timeout = 20');
      const since = performance.now();
      await application.raw('INSERT INTO item VALUES (1)');
      expect(performance.now() - since).toBeLessThan(6_000);
      await expect(hold.release()).rejects.toThrow();
      for (const session of [helper, application]) await session.close();
      control.destroy();
    });

    it('leaves its connection usable for as long as a dump takes', async () => {
      const schema = await server.createDatabase();
      await server.query('CREATE TABLE item (id int PRIMARY KEY)', schema);
      const { signal } = new AbortController();
      const open = () => openSession(connectionTo(server, schema), { database: schema, name: 'tidemark dump', signal });
      const [control, helper] = [await open(), await open()];
      const brand = product === 'mysql' ? mysqlBrand : mariadbBrand;
      const hold = await holdWrites(control, helper, brand, schema, await listTables(helper, schema));
      if ('refused' in hold) throw new Error(hold.message);
      await hold.release();
      await sleep(4_500);
      expect(await control.value('SELECT 1')).toBe('1');
      for (const session of [control, helper]) await session.close();
    });
  });
}
