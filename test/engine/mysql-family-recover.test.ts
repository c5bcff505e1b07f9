import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import type { LogPosition } from '../../src/domain/positions.js';
import type { RecoveryTarget } from '../../src/domain/recovery-target.js';
import type { BinlogTransaction } from '../../src/engines/mysql-family/binlog/scan-binlog.js';
import { openSession } from '../../src/engines/mysql-family/session.js';
import { fromMicros } from '../../src/engines/shared/microseconds.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { expectCode, useContext } from './contract-support.js';
import { familyProducts, takeFamilyFull, transactionsOf, useLogCopies } from './mysql-family-chain-support.js';
import type { StoredLog, TakenBackup } from './postgres-chain-support.js';
import { copyLog, useSandboxes } from './postgres-chain-support.js';

/** A recovery starts three servers; on a busy machine that takes its time. In milliseconds. */
const RECOVERY_TIMEOUT_MS = 300_000;

/** One step of the writer: a transaction in both databases, and where the log stood after it. */
type Step = { readonly n: number; readonly gtid: string };

for (const product of familyProducts) {
  describeEngine(product, `recovery of a ${product} server to a point`, () => {
    const server = usePrivateEngine(product);
    const context = useContext();
    const sandboxes = useSandboxes(context);
    const logs = useLogCopies(server);
    const isMysql = product === 'mysql';
    const steps: Step[] = [];
    let full: TakenBackup;
    let log: StoredLog & { readonly logEnd: LogPosition };
    let transactions: BinlogTransaction[];

    const write = async (count: number) => {
      for (let index = 0; index < count; index++) {
        const n = steps.length + 1;
        const [row] = await server.query<{ gtid: string }>(
          `START TRANSACTION; INSERT INTO shop.seq (n) VALUES (${n}); INSERT INTO busy.seq (n) VALUES (${n}); COMMIT;
           SELECT ${isMysql ? "CONCAT(@@global.server_uuid, ':', REGEXP_SUBSTR(@@global.gtid_executed, '[0-9]+$'))" : '@@last_gtid'} AS gtid`,
        );
        steps.push({ n, gtid: row?.gtid ?? '' });
      }
    };

    beforeAll(async () => {
      for (const name of ['shop', 'busy'])
        await server.query(
          `CREATE DATABASE ${name}; CREATE TABLE ${name}.seq (id int AUTO_INCREMENT PRIMARY KEY, n int, at timestamp(6) DEFAULT CURRENT_TIMESTAMP(6))`,
        );
      await server.query("CREATE EVENT shop.old ON SCHEDULE EVERY 1 DAY DO SET @a = 'DISABLE'");
      if (!isMysql)
        await server.query(
          'CREATE SEQUENCE shop.numbers; CREATE TABLE shop.kept (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING; INSERT INTO shop.kept VALUES (1, 1)',
        );
      full = await takeFamilyFull(server, context());
      // A log of whole seconds tells nothing of points within the second of the full.
      await sleep(1_100);
      await write(3);
      await sleep(1_100);
      await server.query(
        `CREATE USER logged@'%' IDENTIFIED BY 'Abc-d1234'; GRANT SELECT ON shop.* TO logged@'%'; FLUSH BINARY LOGS;
         CREATE EVENT shop.added ON SCHEDULE EVERY 1 DAY DO SET @a = 'DISABLE DO'; ALTER EVENT shop.old DISABLE;
         CREATE EVENT shop.off ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'ENABLE' DO SET @a = 1`,
      );
      await write(2);
      await sleep(1_100);
      await server.query(
        'CREATE DATABASE third; CREATE TABLE third.t (a int PRIMARY KEY); INSERT INTO third.t VALUES (1), (2); FLUSH BINARY LOGS',
      );
      if (!isMysql)
        await server.query('SELECT NEXTVAL(shop.numbers); UPDATE shop.kept SET v = 2; DELETE FROM shop.kept');
      await write(2);
      await server.query('ALTER TABLE shop.seq ADD COLUMN note varchar(10) DEFAULT "x"');
      await write(1);
      await sleep(1_100);
      await server.query(
        `DROP DATABASE third; FLUSH BINARY LOGS; XA START 'open'; INSERT INTO busy.seq (n) VALUES (999); XA END 'open'; XA PREPARE 'open'`,
      );
      await write(2);
      log = await logs.collect();
      transactions = await transactionsOf(product, log);
    });

    const at = (n: number): BinlogTransaction => {
      const gtid = steps[n - 1]?.gtid.toLowerCase();
      const found = transactions.find((one) => one.gtid === gtid);
      if (!found) throw new Error(`step ${n} (${gtid}) is not in the log`);
      return found;
    };
    const timeOf = (n: number) => fromMicros(at(n).commitTimeMicros);
    const indexOf = (one: BinlogTransaction | undefined) => (one === undefined ? -1 : transactions.indexOf(one));
    /** Steps that lie before the first transaction that is refused, by the meaning of a point. */
    const stepsBefore = (refused: (one: BinlogTransaction) => boolean) => {
      const limit = transactions.findIndex((one) => indexOf(one) >= indexOf(at(1)) && refused(one));
      return steps.filter(({ n }) => limit < 0 || indexOf(at(n)) < limit).map(({ n }) => n);
    };

    async function recoverTo(target: RecoveryTarget, stored: StoredLog = log) {
      const sandbox = await sandboxes.open([full], { ...stored, target });
      const session = await openSession(sandbox.connection, {
        database: null,
        name: 'test',
        signal: new AbortController().signal,
      });
      const numbers = async (database: string) =>
        (await session.rows(`SELECT n FROM ${database}.seq ORDER BY id`)).map((row) => Number(row.n));
      return { sandbox, session, shop: await numbers('shop'), busy: await numbers('busy') };
    }

    it('tells commit times that lie between the statements of the source', async () => {
      const rows = await server.query<{ n: number; at: string }>(
        "SELECT n, DATE_FORMAT(CONVERT_TZ(at, @@session.time_zone, '+00:00'), '%Y-%m-%dT%H:%i:%s.%fZ') AS at FROM shop.seq ORDER BY id",
      );
      for (const { n, at: written } of rows) {
        // MariaDB cuts off the fraction.
        const lowest = isMysql ? written : `${written.slice(0, 19)}.000000Z`;
        expect(timeOf(n) >= lowest).toBe(true);
        expect(Date.parse(timeOf(n)) - Date.parse(written)).toBeLessThan(2_000);
      }
    });

    it('gives exactly what was committed up to a commit, and nothing of the accounts and databases made later', {
      timeout: RECOVERY_TIMEOUT_MS,
    }, async () => {
      const { sandbox, session, shop, busy } = await recoverTo({ kind: 'time', time: timeOf(3), before: false });
      expect(shop).toEqual([1, 2, 3]);
      expect(busy).toEqual(shop);
      expect(sandbox.databases).toEqual(['busy', 'shop']);
      expect(sandbox.lastApplied).toEqual({ position: at(3).gtid, at: timeOf(3) });
      expect(sandbox.firstRefused?.position).toBe(transactions[indexOf(at(3)) + 1]?.gtid);
      expect(await session.value("SELECT COUNT(*) FROM mysql.user WHERE User = 'logged'")).toBe('0');
      await session.close();
      await sandbox.close();
    });

    it('stops short of a commit that lies exactly at the point when asked to', {
      timeout: RECOVERY_TIMEOUT_MS,
    }, async () => {
      const time = at(3).commitTimeMicros;
      const { sandbox, session, shop, busy } = await recoverTo({ kind: 'time', time: timeOf(3), before: true });
      expect(shop).toEqual(stepsBefore((one) => one.commitTimeMicros >= time));
      expect(shop).not.toContain(3);
      expect(busy).toEqual(shop);
      await session.close();
      await sandbox.close();
    });

    it('stops after a GTID, with the accounts, grants and event states that the source had then', {
      timeout: RECOVERY_TIMEOUT_MS,
    }, async () => {
      const { sandbox, session, shop } = await recoverTo({ kind: 'position', position: at(5).gtid, before: false });
      expect(shop).toEqual([1, 2, 3, 4, 5]);
      expect(sandbox.databases).toEqual(['busy', 'shop']);
      expect((await session.rows("SHOW GRANTS FOR logged@'%'")).map((row) => Object.values(row)[0]).join()).toContain(
        'GRANT SELECT ON `shop`.*',
      );
      const events = await session.rows(
        "SELECT EVENT_NAME AS name, STATUS AS status, DEFINER AS definer FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop' ORDER BY 1",
      );
      expect(events.map(({ name, status }) => [name, status])).toEqual([
        ['added', 'ENABLED'],
        ['off', 'DISABLED'],
        ['old', 'DISABLED'],
      ]);
      for (const { definer } of events) expect(definer).toMatch(/^root@/);
      await session.close();
      await sandbox.close();
    });

    it('stops before a GTID, with changed tables and new databases before it', {
      timeout: RECOVERY_TIMEOUT_MS,
    }, async () => {
      const { sandbox, session, shop, busy } = await recoverTo({
        kind: 'position',
        position: at(8).gtid,
        before: true,
      });
      expect(shop).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(busy).toEqual(shop);
      expect(sandbox.firstRefused).toEqual({ position: at(8).gtid, at: timeOf(8) });
      expect(sandbox.databases).toEqual(['busy', 'shop', 'third']);
      expect(await session.value('SELECT COUNT(*) FROM third.t')).toBe('2');
      expect(await session.value('SELECT COUNT(note) FROM shop.seq')).toBe('7');
      if (!isMysql) {
        expect(await session.value('SELECT NEXTVAL(shop.numbers)')).toBe(
          String((await server.query<{ n: number }>('SELECT next_not_cached_value AS n FROM shop.numbers'))[0]?.n),
        );
        const history = 'SELECT id, v, ROW_START AS a, ROW_END AS b FROM shop.kept FOR SYSTEM_TIME ALL ORDER BY 3';
        const source = await openSession(
          {
            ...sandbox.connection,
            host: server.host,
            port: server.port,
            username: server.adminUser,
            password: server.adminPassword,
          },
          { database: null, name: 'test', signal: new AbortController().signal },
        );
        expect(await session.rows(history)).toEqual(await source.rows(history));
        await source.close();
      }
      await session.close();
      await sandbox.close();
    });

    it('gives all of the log, without transactions that were never decided', {
      timeout: RECOVERY_TIMEOUT_MS,
    }, async () => {
      const { sandbox, session, shop, busy } = await recoverTo({ kind: 'latest' });
      expect(shop).toEqual(steps.map(({ n }) => n));
      expect(busy).toEqual(shop);
      expect(sandbox.databases).toEqual(['busy', 'shop']);
      expect(sandbox.firstRefused).toBeNull();
      expect(await session.rows('XA RECOVER')).toEqual([]);
      // No number is given twice.
      await session.rows('INSERT INTO shop.seq (n) VALUES (0)');
      expect(await session.value('SELECT id FROM shop.seq WHERE n = 0')).toBe(String(steps.length + 1));
      await session.close();
      await sandbox.close();
    });

    describe('refuses', () => {
      const end: RecoveryTarget = { kind: 'latest' };

      it('a log with a missing file', async () => {
        for (const missing of log.logFiles.slice(1, -1)) {
          const logFiles = log.logFiles.filter((file) => file !== missing);
          const message = await expectCode(
            sandboxes.open([full], { ...log, logFiles, target: end }),
            'recovery_incomplete',
          );
          expect(message).toContain('hole');
        }
      });

      it('a log that ends before it should', async () => {
        const logFiles = log.logFiles.slice(0, -1);
        await expectCode(sandboxes.open([full], { ...log, logFiles, target: end }), 'recovery_incomplete');
      });

      it('a log of which a file lost its middle', async () => {
        const logDir = copyLog(log);
        const name = log.logFiles.at(-2)?.name ?? '';
        const other = log.logFiles.at(0)?.name ?? '';
        rmSync(join(logDir, name));
        copyFileSync(join(log.logDir, other), join(logDir, name));
        await expectCode(sandboxes.open([full], { ...log, logDir, target: end }), 'recovery_incomplete');
        rmSync(logDir, { recursive: true });
      });

      it('points before the backup and behind the log', async () => {
        const before = fromMicros(BigInt(Date.parse(full.result.takenAt) - 10_000) * 1000n);
        await expectCode(
          sandboxes.open([full], { ...log, target: { kind: 'time', time: before, before: false } }),
          'outside_window',
        );
        const [source] = (full.endPosition.gtidSet ?? '').split(',');
        const inside = isMysql ? `${source?.split(':')[0]}:1` : (source ?? '');
        await expectCode(
          sandboxes.open([full], { ...log, target: { kind: 'position', position: inside, before: false } }),
          'outside_window',
        );
        const beyond = isMysql
          ? `${source?.split(':')[0]}:999999`
          : `${source?.split('-').slice(0, 2).join('-')}-999999`;
        await expectCode(
          sandboxes.open([full], { ...log, target: { kind: 'position', position: beyond, before: false } }),
          'outside_window',
        );
        await expectCode(
          sandboxes.open([full], { ...log, target: { kind: 'position', position: "x'; DROP", before: false } }),
          'invalid_request',
        );
      });
    });
  });
}
