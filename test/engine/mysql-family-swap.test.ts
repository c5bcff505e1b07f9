import { expect, it } from 'vitest';
import type { Fingerprint } from '../../src/domain/fingerprint.js';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { newId } from '../../src/domain/ids.js';
import type { RestoreSession, SwapPlan } from '../../src/engines/engine.js';
import { getEngine } from '../../src/engines/registry.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { connectionTo, expectCode, partsOf, takeDump, useContext } from './contract.js';
import { mariadbSample } from './mariadb-sample.js';
import { familyAccounts } from './mysql-family-sample.js';
import { mysqlSample } from './mysql-sample.js';

const samples = {
  mysql: mysqlSample,
  mariadb: mariadbSample('11.8'),
  mariadb1011: mariadbSample('10.11'),
} as const;

/** Another database with the same names for other things: a view where the sample has a table, and the other way round. */
const other = `CREATE TABLE newest (a int PRIMARY KEY AUTO_INCREMENT, b varchar(10)); INSERT INTO newest (b) VALUES ('old');
  CREATE TABLE parents (id int PRIMARY KEY, other int); CREATE VIEW no_key AS SELECT a FROM newest; CREATE VIEW over_it AS SELECT a FROM no_key;
  CREATE PROCEDURE plus_one() SELECT 'old'; CREATE FUNCTION backslash() RETURNS int DETERMINISTIC RETURN 1;
  CREATE TRIGGER order_in BEFORE INSERT ON newest FOR EACH ROW SET NEW.b = 'trg';
  CREATE EVENT every_second ON SCHEDULE EVERY 1 DAY DO DELETE FROM newest;
  CREATE EVENT later ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM newest`;

for (const product of ['mysql', 'mariadb', 'mariadb1011'] as const) {
  describeEngine(product, `the swap of a whole database on ${product}`, () => {
    const server = useEngine(product);
    const context = useContext();
    const open = (restoreId: string, attempt = 1) =>
      getEngine(server.engine).openRestore(connectionTo(server, 'any'), context(), { restoreId, attempt });
    const run = async (session: RestoreSession, plan: SwapPlan) => {
      for (const step of plan.steps) await session.runStep(step, 'apply');
    };
    const fillSample = async (database: string) => {
      for (const sql of familyAccounts) await server.query(sql);
      for (const sql of samples[product]) await server.query(sql, database);
      await server.query(`GRANT SELECT, INSERT ON \`${database}\`.* TO 'tm_app'@'%' WITH GRANT OPTION`);
      await server.query(`GRANT UPDATE (amount), SELECT ON \`${database}\`.\`order\` TO 'tm odd \`user'@'localhost'`);
      await server.query(`GRANT EXECUTE ON FUNCTION \`${database}\`.plus_one TO 'tm_app'@'%'`);
    };
    /** Grants go by name and stay with it; everything else must be as in the backup. */
    const withoutGrants = (print: Fingerprint): Fingerprint => ({
      ...print,
      database: { ...print.database, accounts: null },
      objects: print.objects.map((object) => ({ ...object, grants: [] })),
    });

    it('gives a new name everything, grants included', async () => {
      const source = await server.createDatabase();
      await fillSample(source);
      const dump = await takeDump(connectionTo(server, source), context());
      expect(JSON.stringify(dump.print.objects)).toContain('UPDATE (`amount`)');
      const session = await open(newId('restore'));
      const target = uniqueName('fresh_a%b');
      const staging = await session.createStaging(dump.print);
      await session.load(staging, partsOf(dump));
      const plan = await session.planSwap({ staging, target, previous: `${target}__before_x` });
      await run(session, plan);
      expect(compareFingerprints(dump.print, await session.fingerprint(target))).toEqual([]);
      for (const step of [...plan.steps].reverse()) await session.runStep(step, 'revert');
      expect(await session.inspect(target)).toMatchObject({ exists: false });
      expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
      await session.dropStaging();
      await session.close();
    });

    it('exchanges two unlike databases of one name space, both ways, and undoes from any step', async () => {
      const source = await server.createDatabase();
      await fillSample(source);
      const dump = await takeDump(connectionTo(server, source), context());
      const target = await server.createDatabase({ options: 'CHARACTER SET latin1' });
      for (const sql of other.split(';\n')) await server.query(sql, target);
      await server.query(`GRANT EXECUTE ON PROCEDURE \`${target}\`.plus_one TO 'tm_app'@'%'`);
      await server.query(`GRANT EXECUTE ON FUNCTION \`${target}\`.backslash TO 'tm_app'@'%'`);
      const restoreId = newId('restore');
      const session = await open(restoreId);
      const before = await session.fingerprint(target);
      const staging = await session.createStaging(dump.print);
      await session.load(staging, partsOf(dump));
      const previous = `${target}__before_${restoreId}`;
      const plan = await session.planSwap({ staging, target, previous });
      for (let reached = 0; reached <= plan.steps.length; reached++) {
        for (const step of plan.steps.slice(0, reached)) await session.runStep(step, 'apply');
        for (const step of plan.steps.slice(0, reached + 1).reverse()) await session.runStep(step, 'revert');
        expect(compareFingerprints(before, await session.fingerprint(target)), `undone after ${reached}`).toEqual([]);
        expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
      }
      await run(session, plan);
      const swapped = await session.fingerprint(target);
      expect(compareFingerprints(withoutGrants(dump.print), withoutGrants(swapped))).toEqual([]);
      // The grant on a routine of the same name and kind outlives the exchange.
      expect(swapped.objects.find((object) => object.name === 'backslash')?.grants).toEqual([
        'EXECUTE TO `tm_app`@`%`',
      ]);
      await session.dropStaging();

      const aside = `${target}__reverted_${restoreId}`;
      const back = await session.planRevert({ target, previous, aside });
      await run(session, back);
      expect(compareFingerprints(withoutGrants(before), withoutGrants(await session.fingerprint(target)))).toEqual([]);
      expect(await session.inspect(previous)).toMatchObject({ exists: false });
      await session.dropPrevious(aside);
      await session.close();
    });

    it('runs no event before the swap, and every enabled one after it', async () => {
      const source = await server.createDatabase();
      await server.query(
        `CREATE TABLE fired (at timestamp(6) DEFAULT CURRENT_TIMESTAMP(6));
         CREATE EVENT tick ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO fired VALUES ()`,
        source,
      );
      const count = async (database: string) =>
        Number((await server.query<{ n: unknown }>('SELECT COUNT(*) AS n FROM fired', database))[0]?.n);
      const [scheduler] = await server.query<{ s: string }>('SELECT @@global.event_scheduler AS s');
      await server.query('SET GLOBAL event_scheduler = ON');
      try {
        const dump = await takeDump(connectionTo(server, source), context());
        const enable = (text: string) => text.replace(/( PRESERVE )DISABLE /, '$1ENABLE ');
        const parts = dump.parts.map((part) => ({
          ...part,
          content: Buffer.from(enable(part.content.toString('latin1')), 'latin1'),
        }));
        const session = await open(newId('restore'));
        const staging = await session.createStaging(dump.print);
        await session.load(staging, partsOf({ ...dump, parts }));
        await new Promise((resolve) => setTimeout(resolve, 2500));
        expect(await count(staging)).toBe(0);
        const found = await session.fingerprint(staging);
        expect(found.objects.find((object) => object.name === 'tick')?.definition).toContain('PRESERVE ENABLE');
        const target = uniqueName('ticks');
        await run(session, await session.planSwap({ staging, target, previous: 'none__before_x' }));
        await expect.poll(() => count(target), { timeout: 30_000 }).toBeGreaterThan(0);
        await server.dropDatabase(target);
        await session.dropStaging();
        await session.close();
      } finally {
        await server.query(`SET GLOBAL event_scheduler = ${scheduler?.s ?? 'OFF'}`);
      }
    });

    it('refuses a target to which foreign keys of another database lead, and never drops a database in use', async () => {
      const target = await server.createDatabase();
      const outside = await server.createDatabase();
      await server.query('CREATE TABLE parents (id int PRIMARY KEY)', target);
      await server.query(
        `CREATE TABLE child (p int, CONSTRAINT outer_fk FOREIGN KEY (p) REFERENCES \`${target}\`.parents (id))`,
        outside,
      );
      const session = await open(newId('restore'));
      const found = await session.inspect(target);
      expect(found.outsideTies).toEqual([`foreign key outer_fk of ${outside}.child to ${target}.parents`]);
      const staging = await session.createStaging(null);
      expect(
        await expectCode(
          session.planSwap({ staging, target, previous: `${target}__before_x` }),
          'target_in_use_outside',
        ),
      ).toContain('outer_fk');
      await expectCode(
        session.runStep(
          {
            name: 'x',
            database: null,
            apply: [`DROP DATABASE IF EXISTS \`${target}\``],
            revert: [],
            probe: 'SELECT 0',
          },
          'apply',
        ),
        'swap_failed',
      );
      expect(await session.inspect(target)).toMatchObject({ exists: true, empty: false });
      await server.query('DROP TABLE child', outside);
      await session.dropStaging();
      await session.close();
    });
  });
}
