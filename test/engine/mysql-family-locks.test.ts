import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import { afterEach, expect, it } from 'vitest';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { newId } from '../../src/domain/ids.js';
import { getEngine } from '../../src/engines/registry.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { watchWrites } from '../support/watch-writes.js';
import { connectionTo, partsOf, takeDump, useContext } from './contract.js';

const fill = `CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL);
  INSERT INTO accounts SELECT a.n * 10 + b.n, 100 FROM (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6) a,
    (SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6) b;
  CREATE TABLE journal (id bigint AUTO_INCREMENT PRIMARY KEY, what varchar(20))`;

for (const product of ['mysql', 'mariadb', 'mariadb1011'] as const) {
  describeEngine(product, `a busy source on ${product}`, () => {
    const server: TestEngine = useEngine(product);
    const context = useContext();
    const open: Connection[] = [];
    const connect = async (database: string) => {
      const connection = await createConnection({
        host: server.host,
        port: server.port,
        user: server.adminUser,
        password: server.adminPassword,
        database,
      });
      connection.on('error', () => {});
      open.push(connection);
      return connection;
    };
    afterEach(() => {
      for (const connection of open.splice(0)) connection.destroy();
    });
    const createFilled = async () => {
      const database = await server.createDatabase();
      await server.query(fill, database);
      return database;
    };
    /** An application's writes; a wait for a lock of more than 2 s is an error, any other is measured. */
    const writeOnAndOn = async (database: string) => {
      const writer = await connect(database);
      const control = await connect(database);
      await writer.query('SET SESSION lock_wait_timeout = 2, innodb_lock_wait_timeout = 2');
      const write = async () => {
        await writer.query("INSERT INTO journal (what) VALUES ('tick')");
        await writer.query('UPDATE accounts SET amount = amount + 1 WHERE id = 1');
      };
      return watchWrites(write, () => control.query('SELECT 1'));
    };

    it('lets no write wait more than 2 s while a SELECT of 60 s runs as a dump starts', async () => {
      const database = await createFilled();
      const reader = await connect(database);
      const slow = reader.query(
        'SELECT SUM(SLEEP(2)) FROM accounts JOIN journal ON journal.id >= 0 RIGHT JOIN accounts a2 ON true',
      );
      slow.catch(() => {});
      await sleep(300);
      const watch = await writeOnAndOn(database);
      const dump = await takeDump(connectionTo(server, database), context());
      // What a lock left behind would be felt only now.
      await sleep(3000);
      expect((await watch.stop()).longestWaitMs).toBeLessThan(2000);
      // A sleeping SELECT does not notice that its client is gone.
      await server.query(`KILL ${reader.threadId}`);
      expect(dump.print.tables.map((table) => table.name)).toContain('accounts');
    });

    it('gives a fingerprint that equals the dump while four connections write', async () => {
      const database = await createFilled();
      let stopped = false;
      const writers = [0, 1, 2, 3].map(async (which) => {
        const connection = await connect(database);
        while (!stopped) {
          await connection.beginTransaction();
          await connection.query('UPDATE accounts SET amount = amount - 1 WHERE id = ?', [which * 10]);
          await connection.query('UPDATE accounts SET amount = amount + 1 WHERE id = ?', [which * 10 + 1]);
          await connection.query("INSERT INTO journal (what) VALUES ('moved')");
          await connection.commit();
        }
      });
      try {
        const user = uniqueName('locker');
        await server.query(`CREATE USER '${user}'@'%' IDENTIFIED BY 'Lock-1er'`);
        await server.query(
          `GRANT SELECT, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT ON \`${database}\`.* TO '${user}'@'%'`,
        );
        const admin = connectionTo(server, database);
        for (let round = 0; round < 6; round++) {
          // Without RELOAD, MariaDB locks the tables of the database, as MySQL always does.
          const account = round % 2 === 0 ? {} : { username: user, password: 'Lock-1er' };
          const dump = await takeDump({ ...admin, ...account }, context());
          const engine = getEngine(server.engine);
          const session = await engine.openRestore(connectionTo(server, database), context(), {
            restoreId: newId('restore'),
            attempt: 1,
          });
          const staging = await session.createStaging(dump.print);
          await session.load(staging, partsOf(dump));
          expect(compareFingerprints(dump.print, await session.fingerprint(staging))).toEqual([]);
          const [sum] = await server.query<{ total: unknown }>('SELECT SUM(amount) AS total FROM accounts', staging);
          expect(Number(sum?.total)).toBe(4900);
          await session.dropStaging();
          await session.close();
        }
      } finally {
        stopped = true;
        await Promise.all(writers);
      }
    });

    it('takes a dump beside a transaction that has written and stays open, and stalls nobody for it', async () => {
      const database = await createFilled();
      const idle = await connect(database);
      await idle.beginTransaction();
      await idle.query("INSERT INTO journal (what) VALUES ('open')");
      const watch = await writeOnAndOn(database);
      const engine = getEngine(server.engine);
      const session = await engine.openDump(connectionTo(server, database), context(), { fingerprint: true });
      // MySQL cannot stop writes behind it, and this source is never quiet; MariaDB stops the commits alone.
      if (product === 'mysql') expect(session.fingerprintUnavailable).toContain('could not be stopped');
      else expect(session.fingerprintUnavailable).toBeNull();
      for (const part of session.parts) {
        const { stdout, done } = part.start();
        stdout.resume();
        await done;
      }
      await session.close();
      expect((await watch.stop()).longestWaitMs).toBeLessThan(2000);
    });
  });
}
