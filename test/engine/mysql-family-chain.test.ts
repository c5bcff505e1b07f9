import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { GtidSet } from '../../src/engines/mysql-family/binlog/gtid-set.js';
import { lastCompleteEnd, readTransactions } from '../../src/engines/mysql-family/binlog/read-transactions.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { connectionTo, useContext } from './contract-support.js';
import { mariadbSample } from './mariadb-sample.js';
import { brandOf, familyProducts, takeFamilyFull, transactionsOf, useLogCopies } from './mysql-family-chain-support.js';
import { familyAccounts } from './mysql-family-sample.js';
import { mysqlSample } from './mysql-sample.js';
import { printOf, useSandboxes } from './postgres-chain-support.js';

for (const product of familyProducts) {
  describeEngine(product, `a full of a whole ${product} server`, () => {
    const server = usePrivateEngine(product);
    const context = useContext();
    const sandboxes = useSandboxes(context);
    const logs = useLogCopies(server);
    const isMysql = product === 'mysql';

    it('is recovered in a sandbox with every type, object, account and grant of all its databases', {
      // Starting and filling servers takes its time on a busy machine.
      timeout: 300_000,
    }, async () => {
      for (const sql of familyAccounts) await server.query(sql);
      await server.query('CREATE DATABASE sample; CREATE DATABASE second CHARACTER SET latin1');
      const sample = isMysql ? mysqlSample : mariadbSample(product === 'mariadb' ? '11.8' : '10.11');
      for (const sql of sample) await server.query(sql, 'sample');
      await server.query(
        `CREATE TABLE seq (n int AUTO_INCREMENT PRIMARY KEY, f float); INSERT INTO seq (f) VALUES (0.1), (16777217);
         ALTER TABLE seq AUTO_INCREMENT = 77;
         CREATE ROLE reporting; GRANT SELECT ON second.* TO reporting; CREATE USER app2@'%' IDENTIFIED BY 'Secr-et;''1';
         GRANT reporting TO app2@'%'; GRANT SELECT (n), INSERT ON second.seq TO app2@'%';
         GRANT EXECUTE ON FUNCTION sample.plus_one TO app2@'%'; CREATE VIEW sample.across AS SELECT * FROM second.seq`,
        'second',
      );
      await server.query(
        isMysql ? "ALTER USER app2@'%' DEFAULT ROLE reporting" : "SET DEFAULT ROLE reporting FOR app2@'%'",
      );
      // Writes after the position are not in the full, whatever the dump tool reads later; neither is an account that is made meanwhile.
      const full = await takeFamilyFull(server, context(), {
        prints: true,
        during: async () => {
          await server.query("INSERT INTO second.seq (f) VALUES (3); CREATE USER IF NOT EXISTS later@'%'");
        },
      });
      expect(full.databases).toEqual(['sample', 'second']);
      expect(full.endPosition.gtidSet).toBeTruthy();
      const sandbox = await sandboxes.open([full]);
      expect(sandbox.databases).toEqual(full.databases);
      for (const [database, print] of full.prints) {
        const found = await printOf({ ...sandbox.connection, database }, context());
        expect(compareFingerprints(print, found)).toEqual([]);
      }
      const accounts = full.result.sidecars.find(({ name }) => name === 'accounts.sql')?.body.toString() ?? '';
      expect(accounts).toContain('app2');
      expect(accounts).not.toContain('later');
      expect(accounts).not.toContain('Secr-et');
    });

    it('refuses an incremental of blocks: increments are its log', async () => {
      expect(getChainEngine(server.engine).incrementalKind({} as never)).toBe('log');
    });

    it('is read from the log as transactions with their ends, whatever the size of the pieces', async () => {
      await server.query('FLUSH BINARY LOGS; CREATE DATABASE logged');
      await server.query(
        `CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, v longtext);
         START TRANSACTION; INSERT INTO t (v) VALUES ('a'), ('b'); UPDATE t SET v = 'c'; COMMIT;
         XA START 'x'; INSERT INTO t (v) VALUES ('xa'); XA END 'x'; XA PREPARE 'x'; XA COMMIT 'x';
         INSERT INTO t (v) VALUES (REPEAT('z', 300000)); CREATE TABLE copied AS SELECT * FROM t; DROP TABLE copied`,
        'logged',
      );
      if (isMysql) {
        await server.query(
          `SET gtid_next = 'AUTOMATIC:nightly'; INSERT INTO t (v) VALUES ('tagged'); SET gtid_next = 'AUTOMATIC';
           SET SESSION binlog_transaction_compression = ON; INSERT INTO t (v) VALUES (REPEAT('z', 100000))`,
          'logged',
        );
      }
      await server.query("FLUSH BINARY LOGS; INSERT INTO t (v) VALUES ('last')", 'logged');
      const log = await logs.collect();
      const found = await transactionsOf(product, log);
      // Database, table, DML, XA's two halves, the long row, two DDL, and the last one.
      const after = found.slice(-(isMysql ? 11 : 9));
      expect(after).toHaveLength(isMysql ? 11 : 9);
      if (isMysql) {
        const all = new GtidSet();
        for (const one of found) all.add(one.gtid);
        expect(all.toString()).toBe(log.logEnd.gtidSet);
        expect(after.some(({ gtid }) => gtid.includes(':nightly:'))).toBe(true);
      } else expect(found.at(-1)?.gtid).toBe(log.logEnd.gtidSet);
      expect(found.at(-1)?.file).toBe(log.logEnd.file);
      // MariaDB adds notes of its own to a file (a checkpoint of the binary log) when it likes.
      const behind = Number(log.logEnd.filePosition) - (found.at(-1)?.end ?? 0);
      if (isMysql) expect(behind).toBe(0);
      else expect([0, 40]).toContain(behind);
      for (const [index, one] of found.entries()) {
        const before = found[index - 1];
        if (before?.file === one.file) expect(one.start).toBeGreaterThanOrEqual(before.end);
      }
      const now = BigInt(Date.now()) * 1000n;
      for (const { commitTimeMicros } of after) {
        expect(commitTimeMicros).toBeLessThanOrEqual(now);
        expect(commitTimeMicros).toBeGreaterThan(now - 60_000_000n);
      }
      for (const { name } of log.logFiles) {
        const path = join(log.logDir, name);
        const options = { kind: brandOf(product), file: name } as const;
        const small: number[] = [];
        for await (const one of readTransactions(createReadStream(path, { highWaterMark: 61 }), options))
          small.push(one.end);
        expect(small).toEqual(found.filter(({ file }) => file === name).map(({ end }) => end));
      }
      // Cut at every kind of place: never more than whole transactions.
      const last = log.logFiles.at(-2)?.name ?? '';
      const bytes = await readFile(join(log.logDir, last));
      const ends = found.filter(({ file }) => file === last).map(({ end }) => end);
      for (const end of ends) {
        for (const cut of [end - 1, end - 20, end]) {
          const part = [bytes.subarray(0, cut)];
          const whole = await lastCompleteEnd(part as never, { kind: brandOf(product), file: last });
          const expected = cut === end ? end : Math.max(0, ...ends.filter((one) => one < end));
          expect(whole).toBeLessThanOrEqual(cut);
          expect(whole).toBeGreaterThanOrEqual(expected);
          expect(ends.filter((one) => one <= whole)).toEqual(ends.filter((one) => one <= cut));
        }
      }
    });

    it('is announced with what recovery could not give back truly, and with the exact missing grants', async () => {
      const engine = getChainEngine(server.engine);
      const wish = { pitr: true, incremental: true };
      await server.query('CREATE DATABASE loose; CREATE TABLE loose.isam (id int) ENGINE = MyISAM');
      const ready = await engine.inspectServer(connectionTo(server, 'loose'), context(), wish);
      expect(ready).toMatchObject({ full: true, pitr: true, incremental: true, reason: null, role: 'primary' });
      expect(ready.databases).toContain('loose');
      const loose = ready.findings.find(({ code }) => code === 'non_transactional_tables');
      expect(loose).toMatchObject({ severity: 'warns', statement: 'ALTER TABLE `loose`.`isam` ENGINE = InnoDB;' });
      expect(loose?.message).toContain('loose.isam');
      await server.query('DROP DATABASE loose');

      await server.query(
        "CREATE USER poor@'%' IDENTIFIED BY 'Poor-1234'; GRANT SELECT, SHOW VIEW, TRIGGER ON *.* TO poor@'%'",
      );
      const poor = { ...connectionTo(server, 'sample'), username: 'poor', password: 'Poor-1234' };
      const refused = await engine.inspectServer(poor, context(), wish);
      expect(refused).toMatchObject({ full: false, pitr: false });
      const missing = refused.findings.find(({ code }) => code === 'missing_privilege');
      await server.query(missing?.statement ?? '');
      expect(await engine.inspectServer(poor, context(), wish)).toMatchObject({ full: true, pitr: true });
      // And these rights suffice.
      const session = await engine.openFull(poor, context(), { label: 'poor', fingerprint: false });
      await session.close();

      await server.query("SET GLOBAL binlog_row_image = 'MINIMAL'");
      const image = await engine.inspectServer(connectionTo(server, 'sample'), context(), wish);
      await server.query("SET GLOBAL binlog_row_image = 'FULL'");
      expect(image).toMatchObject({ full: true, pitr: false, incremental: false });
      expect(image.findings.find(({ code }) => code === 'binlog_row_image')?.severity).toBe('refuses');
    });
  });
}
