/** A promoted replica whose log goes on where the stored log of its former primary ends: proven from what both hold, or refused with the reason. */
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import type { LogPosition } from '../../src/domain/positions.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { BinlogReader } from '../../src/engines/mysql-family/archive/binlog-reader.js';
import { BinlogSpool } from '../../src/engines/mysql-family/archive/binlog-spool.js';
import { readTransactions } from '../../src/engines/mysql-family/binlog/read-transactions.js';
import type { BinlogTransaction } from '../../src/engines/mysql-family/binlog/scan-binlog.js';
import { BinlogScanner } from '../../src/engines/mysql-family/binlog/scan-binlog.js';
import { openSession } from '../../src/engines/mysql-family/session.js';
import { archiveToFolder, resumeFrom } from '../support/archive-to-folder.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { purgeBinlogs } from '../support/purge-binlogs.js';
import { caughtUp, promote, replicate } from '../support/replicate.js';
import { connectionTo, useContext } from './contract-support.js';
import type { FamilyProduct } from './mysql-family-chain-support.js';
import { brandOf, takeFamilyFull, transactionsOf, useLogCopies } from './mysql-family-chain-support.js';
import type { StoredLog } from './postgres-chain-support.js';
import { useSandboxes } from './postgres-chain-support.js';

const products: readonly FamilyProduct[] = ['mysql', 'mariadb'];

/** Statements of every kind that a log holds in its own way. */
const statements = (product: FamilyProduct) => `
  CREATE DATABASE shop; USE shop; CREATE TABLE written (n int PRIMARY KEY, filling longblob);
  CREATE TABLE other (id int PRIMARY KEY, doc json, g int AS (id + 1) STORED, t timestamp(6) DEFAULT current_timestamp(6));
  INSERT INTO other (id, doc) VALUES (1, '{"a": 1}'), (2, '[1, 2]'); UPDATE other SET doc = JSON_SET(doc, '$.a', 2) WHERE id = 1;
  DELETE FROM other WHERE id = 2; CREATE USER later@'%' IDENTIFIED BY 'Abc-d1234'; GRANT SELECT ON shop.* TO later@'%';
  CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO SET @a = 1; DROP EVENT daily;
  CREATE PROCEDURE many() BEGIN DECLARE i int DEFAULT 100; START TRANSACTION; WHILE i < 300 DO INSERT INTO written VALUES (i, REPEAT('z', i)); SET i = i + 1; END WHILE; COMMIT; END;
  CALL many(); CREATE TABLE copy AS SELECT n FROM written; DELETE FROM copy WHERE n > 150; TRUNCATE TABLE copy; DROP TABLE copy;
  DELETE FROM written; ALTER TABLE other ADD COLUMN more int DEFAULT 7; XA START 'a'; INSERT INTO other (id) VALUES (5); XA END 'a'; XA PREPARE 'a'; XA COMMIT 'a';
  ${product === 'mariadb' ? 'CREATE SEQUENCE s; SELECT NEXT VALUE FOR s;' : ''}
`;

async function transactionsWithContent(product: FamilyProduct, { logDir, logFiles }: StoredLog) {
  const found: BinlogTransaction[] = [];
  for (const { name } of logFiles) {
    const stream = createReadStream(join(logDir, name));
    for await (const one of readTransactions(stream, { kind: brandOf(product), file: name, content: true }))
      found.push(one);
  }
  return found;
}

for (const product of products) {
  describeEngine(product, `the log of a replica of a ${product} server`, () => {
    // MariaDB's replicas log nothing of what they apply unless they are told to.
    const settings = product === 'mysql' ? {} : { settings: { 'log-slave-updates': 'ON' } };
    const primary = usePrivateEngine(product);
    const replica = usePrivateEngine(product, settings);
    const context = useContext();
    const sandboxes = useSandboxes(context);
    const logs = { primary: useLogCopies(primary), replica: useLogCopies(replica) };
    const engine = getChainEngine(brandOf(product));
    const to = (server: TestEngine) => connectionTo(server, 'mysql');
    const places = () => {
      const base = sandboxes.folder();
      return { slot: uniqueName('tidemark'), dir: join(base, 'store'), spoolDir: join(base, 'spool') };
    };
    const follow = (server: TestEngine, where: ReturnType<typeof places>) =>
      archiveToFolder({ engine, connection: to(server), context: context(), ...where, successor: true });
    const insert = async (server: TestEngine, from: number, upTo: number) => {
      for (let n = from; n <= upTo; n += 1) await server.query(`INSERT INTO shop.written VALUES (${n}, 'x')`);
    };
    const stop = product === 'mysql' ? 'STOP REPLICA' : 'STOP SLAVE';
    /** Why a server's log cannot be gone on with, as the error says it. */
    async function refusal(server: TestEngine, where: ReturnType<typeof places>): Promise<string> {
      const run = await follow(server, where).catch((error: Error) => error);
      if (run instanceof Error) return run.message;
      await expect.poll(() => run.failure(), { timeout: 60_000 }).not.toBeNull();
      expect(run.chunks).toEqual([]);
      await run.stop();
      expect(run.failure()).toMatchObject({
        code: 'log_gap',
        details: { gap: { from: resumeFrom(where.dir)?.position } },
      });
      return (run.failure() as Error).message;
    }
    const stored = places();
    /** Where the log of the former primary ends in the store. */
    let formerEnd: LogPosition = {};
    /** The first stored file of its successor. */
    let joining = { file: '', content: Buffer.alloc(0) };
    beforeAll(() => replicate(primary, replica), 120_000);

    it('says of every transaction what the log of its primary says of it', async () => {
      await primary.query(statements(product));
      await caughtUp(primary, replica);
      const there = await transactionsWithContent(product, await logs.primary.collect());
      const here = await transactionsWithContent(product, await logs.replica.collect());
      const plain = (all: readonly BinlogTransaction[]) =>
        all.map(({ gtid, originTimeMicros, content }) => ({ gtid, originTimeMicros, content }));
      expect(plain(here)).toEqual(plain(there));
      expect(there.every(({ content }) => typeof content === 'string')).toBe(true);
      expect(new Set(there.map(({ content }) => content)).size).toBe(there.length);
    }, 120_000);

    it('goes on with the stored log after its promotion, and a recovery passes from one to the other', async () => {
      const full = await takeFamilyFull(primary, context());
      const run = await follow(primary, stored);
      await insert(primary, 1, 5);
      // What is stored and what follows lie in several files, at other places in each of the logs.
      await caughtUp(primary, replica);
      await replica.query('FLUSH BINARY LOGS');
      await insert(primary, 6, 8);
      await primary.query('FLUSH BINARY LOGS');
      await insert(primary, 9, 10);
      await run.catchUp();
      await run.stop();
      formerEnd = run.position() ?? {};
      // Never stored: the primary sends it to the replica alone.
      await insert(primary, 11, 12);
      await caughtUp(primary, replica);
      await expect(follow(replica, stored)).rejects.toMatchObject({ code: 'server_identity_changed' });
      await promote(replica);
      await insert(replica, 13, 15);

      const next = await follow(replica, stored);
      await next.catchUp();
      await next.stop();
      expect(next.failure()).toBeNull();
      // Another one goes on from there as it is used to.
      const later = await follow(replica, stored);
      await replica.query('FLUSH BINARY LOGS');
      await insert(replica, 16, 16);
      const { position: logEnd } = await later.catchUp();
      await later.stop();
      expect(later.failure()).toBeNull();
      const log = { logDir: stored.dir, logFiles: later.files(), logEnd };
      expect(log.logFiles.at(-1)?.name).toMatch(/^takeover-1\.binlog\.\d+$/);
      const file = log.logFiles.find(({ name }) => name.startsWith('takeover-1.'))?.name ?? '';
      joining = { file, content: readFileSync(join(stored.dir, file)) };
      const written = (await transactionsOf(product, log)).filter(
        ({ gtid }, index, all) => all.findIndex((one) => one.gtid === gtid) === index,
      );
      const wanted = { 12: written.at(-5), 16: written.at(-1) };
      for (const [last, { gtid } = { gtid: '' }] of Object.entries(wanted)) {
        const sandbox = await sandboxes.open([full], {
          ...log,
          target: { kind: 'position', position: gtid, before: false },
        });
        const session = await openSession(sandbox.connection, {
          database: null,
          name: 'test',
          signal: context().signal,
        });
        const rows = await session.rows('SELECT n FROM shop.written ORDER BY n');
        expect(rows.map(({ n }) => Number(n))).toEqual(Array.from({ length: Number(last) }, (_, index) => index + 1));
        await session.close();
        await sandbox.close();
      }

      // Recovered by hand, the log must not repeat anything.
      const dir = sandboxes.folder();
      await engine.writeFiles?.(context(), {
        ...{ dir, server: full.server, backups: [full], ...log, target: { kind: 'latest' }, onPhase: () => {} },
      });
      const left = readdirSync(stored.dir).sort(
        (a, b) => Number(a.startsWith('takeover')) - Number(b.startsWith('takeover')),
      );
      const files = left.map((name) => ({ name, bytes: statSync(join(stored.dir, name)).size }));
      const kept = await transactionsOf(product, { ...log, logFiles: files });
      expect(kept.map(({ gtid }) => gtid)).toEqual([...new Set(kept.map(({ gtid }) => gtid))]);
      expect(kept.at(-1)?.gtid).toBe(written.at(-1)?.gtid);
    }, 600_000);

    it('is stored as what is there already, until it has come to the end of that', async () => {
      const { file, content: whole } = joining;
      const kind = brandOf(product);
      const half = new BinlogScanner({ kind, file }).push(whole)[0]?.end ?? 0;
      const spool = new BinlogSpool(sandboxes.folder());
      await spool.prepare(null);
      const path = join(await spool.beginRun(), file);
      writeFileSync(path, whole.subarray(0, half));
      const reader = new BinlogReader(kind, spool, { file, stored: formerEnd });
      const chunk = await reader.read();
      const { gtidSet } = formerEnd;
      expect(chunk).toMatchObject({ file, start: formerEnd, end: { file, filePosition: String(half), gtidSet } });
      // One that goes on in the middle of it, and one for which other bytes were proven.
      writeFileSync(path, whole);
      const prefixSha256 = createHash('sha256').update(whole.subarray(0, half)).digest('hex');
      const position = chunk?.end ?? {};
      const next = new BinlogReader(kind, spool, { cursor: { file, offset: half }, position, prefixSha256 });
      expect((await next.read())?.end).toMatchObject({ filePosition: String(whole.length), gtidSet });
      const other = new BinlogReader(kind, spool, { file, stored: formerEnd });
      other.require(new Map([[file, { bytes: half + 1, sha256: prefixSha256 }]]));
      await expect(other.read()).rejects.toMatchObject({ code: 'log_gap', details: { gap: { from: formerEnd } } });
    }, 60_000);

    it('is not gone on with when it has another transaction under the name of a stored one, or has removed it', async () => {
      const where = places();
      const run = await follow(replica, where);
      await insert(replica, 20, 21);
      await run.catchUp();
      await run.stop();
      // The former primary as a replica that left out the last one, as one does that cannot apply it.
      await replicate(replica, primary);
      await primary.query(stop);
      await insert(replica, 22, 22);
      const next = await follow(replica, where);
      await next.catchUp();
      await next.stop();
      const last = next.position()?.gtidSet ?? '';
      const number = last.split(/[:-]/).at(-1);
      const source = last.split(',').find((text) => text.endsWith(`${product === 'mysql' ? '' : '-'}${number}`)) ?? '';
      await primary.query(
        product === 'mysql'
          ? `SET GTID_NEXT = '${source.split(':')[0]?.trim()}:${number}'; BEGIN; COMMIT; SET GTID_NEXT = AUTOMATIC`
          : `SET SESSION gtid_domain_id = ${source.split('-')[0]}, server_id = ${source.split('-')[1]}, gtid_seq_no = ${number}; INSERT INTO shop.written VALUES (23, 'another')`,
      );
      await promote(primary);
      expect(await refusal(primary, where)).toContain('is another one than the stored transaction');

      await primary.query("FLUSH BINARY LOGS; INSERT INTO shop.written VALUES (30, 'own')");
      await purgeBinlogs(primary);
      expect(await refusal(primary, where)).toContain('does not have its log of');
    }, 120_000);
  });
}
