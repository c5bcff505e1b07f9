import { expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { getEngine } from '../../src/engines/registry.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { connectionTo, expectCode, expectRestorable, partsOf, takeDump, useContext } from './contract.js';

const fill = `CREATE TABLE t (a int PRIMARY KEY AUTO_INCREMENT, b varchar(10)); INSERT INTO t (b) VALUES ('x'), ('y'); CREATE VIEW v AS SELECT a FROM t;
  CREATE PROCEDURE p() SELECT 1; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 'z'; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1`;

/** Everything that an option file, a shell or a URL could take for something else. */
const oddPassword = ` a"b'c\\d#e;f$g %h\`i\\n=[x] ü `;

for (const product of ['mysql', 'mariadb', 'mariadb1011'] as const) {
  describeEngine(product, `accounts with few privileges on ${product}`, () => {
    const server = useEngine(product);
    const context = useContext();
    const createAccount = async () => {
      const user = uniqueName('u');
      await server.query(
        `CREATE USER '${user}'@'%' IDENTIFIED BY ${"'"}${oddPassword.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`,
      );
      return user;
    };
    const createFilled = async () => {
      const database = await server.createDatabase();
      await server.query(fill, database);
      return database;
    };

    it('names every missing privilege with the statement that grants it, and dumps once they were run', async () => {
      const database = await createFilled();
      const user = await createAccount();
      const connection = { ...connectionTo(server, database), username: user, password: oddPassword };
      const engine = getEngine(server.engine);
      await expectCode(engine.check(connection, context()), 'privilege_missing', 'database_missing');
      await server.query(`GRANT SELECT ON \`${database}\`.t TO '${user}'@'%'`);
      const first = await engine.check(connection, context());
      expect(first.capabilities.dump).toBe(false);
      expect(first.capabilities.reason).toContain('lacks');
      for (let round = 0; round < 3; round++) {
        const { findings } = await engine.check(connection, context());
        const missing = findings.filter((finding) => finding.code === 'missing_privilege');
        for (const { statement } of missing) await server.query(statement ?? '');
      }
      const granted = await engine.check(connection, context());
      expect(granted.findings.filter((finding) => finding.code === 'missing_privilege')).toEqual([]);
      expect(granted.capabilities.dump).toBe(true);

      const dump = await takeDump(connection, context());
      expect(dump.print.objects.map((object) => object.type)).toEqual(
        expect.arrayContaining(['table', 'view', 'procedure', 'trigger', 'event']),
      );
      await expectRestorable(connectionTo(server, database), context(), dump);
    });

    it('says before anything is written that a role may not create databases', async () => {
      const database = await server.createDatabase();
      const user = await createAccount();
      await server.query(`GRANT ALL PRIVILEGES ON \`${database}\`.* TO '${user}'@'%'`);
      const connection = { ...connectionTo(server, database), username: user, password: oddPassword };
      const session = await getEngine(server.engine).openRestore(connection, context(), {
        restoreId: newId('restore'),
        attempt: 1,
      });
      expect(await session.inspect(database)).toMatchObject({ exists: true, empty: true, canCreateDatabase: false });
      expect(await expectCode(session.createStaging(null), 'privilege_missing')).not.toContain(oddPassword);
      await session.close();
    });

    it('loads directly into an empty database of a role that may not create one', async () => {
      const source = await server.createDatabase();
      await server.query("CREATE TABLE t (a int PRIMARY KEY, b varchar(10)); INSERT INTO t VALUES (1, 'x')", source);
      const dump = await takeDump(connectionTo(server, source), context());
      const target = await server.createDatabase();
      const user = await createAccount();
      await server.query(`GRANT ALL PRIVILEGES ON \`${target}\`.* TO '${user}'@'%'`);
      const connection = { ...connectionTo(server, target), username: user, password: oddPassword };
      const session = await getEngine(server.engine).openRestore(connection, context(), {
        restoreId: newId('restore'),
        attempt: 1,
      });
      await session.load(target, partsOf(dump));
      const found = await session.fingerprint(target);
      expect(found.tables).toEqual(dump.print.tables);
      await session.close();
    });

    it('asks for the accounts that the backup names and the target lacks', async () => {
      const source = await createFilled();
      const user = await createAccount();
      await server.query(`GRANT SELECT ON \`${source}\`.t TO '${user}'@'%'`);
      const dump = await takeDump(connectionTo(server, source), context());
      await server.query(`DROP USER '${user}'@'%'`);
      const session = await getEngine(server.engine).openRestore(connectionTo(server, source), context(), {
        restoreId: newId('restore'),
        attempt: 1,
      });
      expect(await expectCode(session.createStaging(dump.print), 'roles_missing')).toContain(
        `CREATE USER '${user}'@'%'`,
      );
      await session.close();
    });
  });
}
