/** Fulls that are read from a replica: a server of its own, whose content is continued by its primary's log. */
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { beforeAll, expect, it } from 'vitest';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { DatabaseConnection } from '../../src/engines/engine.js';
import { openSession } from '../../src/engines/mysql-family/session.js';
import { archiveToFolder, resumeFrom } from '../support/archive-to-folder.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, uniqueName, useEngine, usePrivateEngine } from '../support/engine-servers.js';
import { caughtUp, promote, replicate } from '../support/replicate.js';
import { until } from '../support/until.js';
import { connectionTo, expectCode, useContext } from './contract-support.js';
import type { FamilyProduct } from './mysql-family-chain-support.js';
import { brandOf, transactionsOf, useLogCopies } from './mysql-family-chain-support.js';
import { takeAll, useSandboxes } from './postgres-chain-support.js';

const products: readonly FamilyProduct[] = ['mysql', 'mariadb'];

/** Commits numbers one after the other until it is stopped. */
async function writer(server: TestEngine) {
  const client = await createConnection({
    ...{ host: server.host, port: server.port, user: server.adminUser, password: server.adminPassword },
  });
  let stopped = false;
  const work = async () => {
    for (let n = 1; !stopped; n += 1) await client.query(`INSERT INTO shop.seq (n) VALUES (${n})`);
  };
  const working = work();
  return {
    stop: async () => {
      stopped = true;
      await working;
      await client.end();
    },
  };
}

for (const product of products) {
  describeEngine(product, `a replica of a ${product} server`, () => {
    const primary = usePrivateEngine(product);
    const replica = usePrivateEngine(product);
    const other = useEngine(product);
    const context = useContext();
    const sandboxes = useSandboxes(context);
    const logs = useLogCopies(primary);
    const engine = getChainEngine(brandOf(product));
    const to = (server: TestEngine): DatabaseConnection => connectionTo(server, 'mysql');
    const fault = (of: TestEngine = primary, withinMs = 30_000) =>
      engine.findReplicaFault?.(to(replica), context(), { primary: to(of), withinMs });
    const openFull = () =>
      engine.openFull(to(replica), context(), { label: 'test', fingerprint: true, primary: to(primary) });
    beforeAll(async () => {
      await primary.query('CREATE DATABASE shop; CREATE TABLE shop.seq (id int AUTO_INCREMENT PRIMARY KEY, n int)');
      await replicate(primary, replica);
    }, 300_000);

    it('gives a full that the log of its busy primary continues exactly', async () => {
      expect(await fault()).toBeNull();
      const writing = await writer(primary);
      const session = await openFull();
      const prints: unknown[] = [];
      const full = await takeAll(session, 'full', async () => {
        if (prints.length === 0) prints.push(await session.fingerprint('shop'));
      });
      await primary.query("CREATE USER later@'%' IDENTIFIED BY 'Abc-d1234'; FLUSH BINARY LOGS");
      await writing.stop();
      const { server } = await engine.readLogEnd(to(primary), context());
      expect(full.server.identity).toBe(server.identity);
      expect(session.sourceRole).toBe('replica');
      expect(prints).toHaveLength(1);

      const log = await logs.collect();
      expect(log.logFiles.map(({ name }) => name)).toContain(full.endPosition.file);
      const held = await transactionsOf(product, log);
      const sandbox = await sandboxes.open([full], { ...log, target: { kind: 'latest' } });
      expect(sandbox.lastApplied?.position).toBe(held.at(-1)?.gtid);
      const recovered = await openSession(sandbox.connection, {
        ...{ database: null, name: 'test', signal: new AbortController().signal },
      });
      const read = 'SELECT COUNT(*) AS rows_there, SUM(n) AS sum, MAX(id) AS last FROM shop.seq';
      const text = (row: object | undefined) => Object.values(row ?? {}).map(String);
      expect(text((await recovered.rows(read))[0])).toEqual(text((await primary.query<object>(read))[0]));
      expect(await recovered.value("SELECT COUNT(*) FROM mysql.user WHERE User = 'later'")).toBe('1');
      await recovered.close();
      await sandbox.close();
    }, 300_000);

    it('is not read when it replicates from another server, or not at all', async () => {
      expect(await fault(other)).toMatch(/replicates from another server/);
      const stop = product === 'mysql' ? 'STOP REPLICA SQL_THREAD' : 'STOP SLAVE SQL_THREAD';
      await replica.query(stop);
      expect(await fault()).toBe('its replication does not run');
      await replica.query(stop.replace('STOP', 'START'));
      await primary.query('INSERT INTO shop.seq (n) VALUES (0)');
      await until(async () => (await fault()) === null, 'the replica to be read again', 60_000);
    }, 120_000);

    it('is read while it is delayed as long as nothing is missing, and not when it is behind', async () => {
      const delay = (seconds: number) =>
        replica.query(
          product === 'mysql'
            ? `STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_DELAY = ${seconds}; START REPLICA`
            : `STOP SLAVE; CHANGE MASTER TO master_delay = ${seconds}; START SLAVE`,
        );
      await delay(3_600);
      await until(async () => (await fault()) === null, 'the replica to replicate again', 60_000);
      await primary.query('INSERT INTO shop.seq (n) VALUES (0)');
      expect(await fault(primary, 1_000)).toMatch(/^it is too far behind, and lacks \S+/);
      await delay(0);
      await caughtUp(primary, replica);
    }, 200_000);

    it('is not read when it turned off the events of its primary', async () => {
      await primary.query('CREATE EVENT shop.daily ON SCHEDULE EVERY 1 DAY DO SET @a = 1');
      await caughtUp(primary, replica);
      await expectCode(openFull(), 'source_changed_during_dump');
      await primary.query('DROP EVENT shop.daily');
      await caughtUp(primary, replica);
    }, 120_000);

    it('is not read once it was written to itself', async () => {
      await replica.query('CREATE DATABASE own');
      expect(await fault()).toMatch(/holds transactions that its primary does not have/);
    }, 120_000);

    it('takes the place of its primary with all that was lost with that one said, and nobody else does', async () => {
      const base = sandboxes.folder();
      const places = { slot: uniqueName('tidemark'), dir: join(base, 'store'), spoolDir: join(base, 'spool') };
      const run = await archiveToFolder({ engine, connection: to(primary), context: context(), ...places });
      await run.catchUp();
      const former = run.follower.server.identity;
      const judge = (server: TestEngine) =>
        engine.judgeSuccessor?.(to(server), context(), { former, stored: run.position() });
      expect(await judge(replica)).toEqual({ isSuccessor: false, lacks: null });
      await replica.query(product === 'mysql' ? 'STOP REPLICA' : 'STOP SLAVE');
      await primary.query('INSERT INTO shop.seq (n) VALUES (-1)');
      await run.catchUp();
      await run.stop();
      const lost = run.position()?.gtidSet?.split(/[,:-]/).at(-1) ?? '';
      await promote(replica);
      const judged = await judge(replica);
      expect(judged?.isSuccessor).toBe(true);
      expect(judged?.lacks?.split(/[:-]/).at(-1)).toBe(lost);
      expect((await judge(other))?.isSuccessor).toBe(false);

      const resume = resumeFrom(places.dir);
      const follow = (successor: boolean) =>
        engine.openFollower(to(replica), context(), { ...places, resume, successor, spoolLimitBytes: 1024 ** 3 });
      await expectCode(follow(false), 'server_identity_changed');
      await expect(follow(true)).rejects.toMatchObject({
        code: 'log_gap',
        message: expect.stringContaining(`It never had ${judged?.lacks}: `),
        details: { gap: { from: run.position(), to: { file: expect.any(String) } } },
      });
    }, 120_000);

    it('leaves a former primary that logs nothing of what it applies without a log to follow', async () => {
      await primary.query(
        product === 'mysql'
          ? `CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = ${replica.port}, SOURCE_USER = 'replicator'`
          : `CHANGE MASTER TO master_host = '127.0.0.1', master_port = ${replica.port}, master_user = 'replicator'`,
      );
      const end = engine.readLogEnd(to(primary), context());
      // MySQL logs it unless told otherwise, MariaDB the other way round.
      if (product === 'mysql') expect((await end).position.file).toMatch(/binlog/);
      else await expectCode(end, 'log_not_kept');
    }, 120_000);
  });
}
