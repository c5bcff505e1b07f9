/** A downloaded dump is the engine's own file: its plain client loads it, under whatever name, without us. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { mariadbBrand } from '../../src/engines/mariadb/brand.js';
import { mysqlBrand } from '../../src/engines/mysql/brand.js';
import { requireClientTools } from '../../src/engines/mysql-family/tools.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { connectionTo, takeDump, useContext } from './contract.js';

for (const product of ['mysql', 'mariadb'] as const) {
  describeEngine(product, `a dump of ${product} in the hands of the plain client`, () => {
    const server = useEngine(product);
    const context = useContext();

    it('loads with programs that were made under another collation of the database, or with a semicolon at their end', async () => {
      const source = await server.createDatabase();
      await server.query(
        'CREATE TABLE t (a int PRIMARY KEY, b varchar(20)); INSERT INTO t VALUES (1, "ü"), (2, NULL)',
        source,
      );
      await server.query('CREATE FUNCTION f(x varchar(10)) RETURNS varchar(10) DETERMINISTIC RETURN x', source);
      // As clients do that send several statements at once: the separator becomes a part of the body.
      await server.query(`CREATE TRIGGER tg BEFORE INSERT ON t FOR EACH ROW SET NEW.b = 'x'; SELECT 1`, source);
      await server.query(
        `CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO SET @a = 1; SELECT 1`,
        source,
      );
      await server.query(
        `CREATE TRIGGER \`${source}\`.far BEFORE UPDATE ON \`${source}\`.t FOR EACH ROW SET NEW.b = 'y'`,
      );
      await server.query(`ALTER DATABASE \`${source}\` CHARACTER SET latin1 COLLATE latin1_swedish_ci`);
      const dump = await takeDump(connectionTo(server, source), context());
      const file = Buffer.concat(dump.parts.map((part) => part.content));
      expect(file.includes('ALTER DATABASE CHARACTER SET')).toBe(true);
      // Whatever still names the source has nothing to find.
      await server.dropDatabase(source);

      const target = await server.createDatabase({ options: 'CHARACTER SET latin1 COLLATE latin1_swedish_ci' });
      const brand = product === 'mysql' ? mysqlBrand : mariadbBrand;
      const { client } = await requireClientTools(brand, server.major, context().toolRoots);
      const { host, port, adminUser } = server;
      const loaded = spawnSync(
        client,
        ['--no-defaults', `--host=${host}`, `--port=${port}`, `--user=${adminUser}`, target],
        {
          input: file,
          env: { MYSQL_PWD: server.adminPassword },
          encoding: 'utf8',
        },
      );
      expect(loaded.status, loaded.stderr).toBe(0);
      const again = await takeDump(connectionTo(server, target), context());
      expect(compareFingerprints(dump.print, again.print)).toEqual([]);
    });
  });
}
