import { readdirSync, readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DatabaseConnection } from '../../src/engines/engine.js';
import { postgresEngine } from '../../src/engines/postgres/engine.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { watchWrites } from '../support/watch-writes.js';
import { connectionTo, expectCode, expectRestorable, takeDump, useContext } from './contract.js';

const PASSWORD = "pass'word \\ with: everything #€";

/** Process ids of the pg_dump runs that this process started. */
function dumpProcesses(): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    try {
      const [, name, rest = ''] = /^\d+ \((.*)\) (.*)$/.exec(readFileSync(`/proc/${entry}/stat`, 'utf8').trim()) ?? [];
      return name === 'pg_dump' && Number(rest.split(' ')[1]) === process.pid ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}

/** In how many seconds each end of the connection between two local ports will next ask the other; an end that does not is left out. */
function keepaliveSeconds(...ports: [number, number]): number[] {
  const hex = ports.map((port) => port.toString(16).toUpperCase().padStart(4, '0'));
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote]) => hex.every((port) => local?.endsWith(`:${port}`) || remote?.endsWith(`:${port}`)))
    .flatMap(([, , , , , timer = '']) => {
      const [kind, when = ''] = timer.split(':');
      // 02: the keepalive timer, in hundredths of a second.
      return kind === '02' ? [Number.parseInt(when, 16) / 100] : [];
    });
}

describeEngine('pg17', 'PostgreSQL dump', () => {
  const server = useEngine('pg17');
  const context = useContext();
  const roles: string[] = [];

  const createRole = async (attributes = ''): Promise<string> => {
    const name = uniqueName('tm role');
    await server.query(
      `CREATE ROLE "${name}" LOGIN PASSWORD E'${PASSWORD.replaceAll('\\', '\\\\').replaceAll("'", "''")}' ${attributes}`,
    );
    roles.push(name);
    return name;
  };
  const asRole = (role: string, database: string): DatabaseConnection => ({
    ...connectionTo(server, database),
    username: role,
    password: PASSWORD,
  });
  const openClient = async (database: string): Promise<pg.Client> => {
    const { host, port, adminUser: user, adminPassword: password } = server;
    const client = new pg.Client({ host, port, user, password, database });
    client.on('error', () => {});
    await client.connect();
    return client;
  };
  const sessions = async (database: string) =>
    server.query(
      `SELECT pid FROM pg_stat_activity WHERE datname = '${database}' AND application_name LIKE 'tidemark%'`,
    );
  afterAll(async () => {
    for (const role of roles) await server.query(`DROP ROLE IF EXISTS "${role}"`).catch(() => {});
  });

  describe('rights', () => {
    it('names what a role lacks, with the statement that grants it, until pg_read_all_data is enough', async () => {
      const database = await server.createDatabase();
      await server.query(
        'CREATE TABLE "My Table" (id int PRIMARY KEY); CREATE SEQUENCE s; INSERT INTO "My Table" VALUES (1)',
        database,
      );
      const connection = asRole(await createRole(), database);
      const before = await postgresEngine.check(connection, context());
      const missing = before.findings.find((finding) => finding.code === 'missing_privilege')!;
      expect(before.capabilities.dump).toBe(false);
      expect(missing.message).toContain('"My Table"');
      await expectCode(takeDump(connection, context()), 'privilege_missing');
      await server.query(missing.statement!);
      const after = await postgresEngine.check(connection, context());
      expect(after.capabilities.dump).toBe(true);
      expect(after.findings.filter((finding) => finding.severity === 'refuses')).toEqual([]);
      const dump = await takeDump(connection, context());
      await expectRestorable(connectionTo(server, database), context(), dump);
    });

    it('refuses to dump around row security, and says how to mend it', async () => {
      const database = await server.createDatabase();
      await server.query(
        'CREATE TABLE secured (a int); INSERT INTO secured VALUES (1); ALTER TABLE secured ENABLE ROW LEVEL SECURITY',
        database,
      );
      const connection = asRole(await createRole('IN ROLE pg_read_all_data'), database);
      const check = await postgresEngine.check(connection, context());
      const finding = check.findings.find(({ code }) => code === 'row_security')!;
      expect(check.capabilities).toMatchObject({ dump: false, reason: expect.stringContaining('secured') });
      await expectCode(takeDump(connection, context()), 'privilege_missing');
      await server.query(finding.statement!);
      expect((await postgresEngine.check(connection, context())).capabilities.dump).toBe(true);
      expect((await takeDump(connection, context())).print.tables).toMatchObject([
        { name: 'public.secured', rows: '1' },
      ]);
    });

    it('finds large objects that the role may not read', async () => {
      const database = await server.createDatabase();
      await server.query("SELECT lo_from_bytea(0, 'x')", database);
      const connection = asRole(await createRole('IN ROLE pg_read_all_data'), database);
      const finding = (await postgresEngine.check(connection, context())).findings.find(
        ({ code }) => code === 'large_objects_unreadable',
      )!;
      await expectCode(takeDump(connection, context()), 'privilege_missing');
      await server.query(finding.statement!, database);
      expect((await takeDump(connection, context())).print.largeObjects).toMatchObject({ count: '1' });
    });
  });

  describe('check', () => {
    it('says what a dump leaves out and what stands in the way of streams', async () => {
      const database = await server.createDatabase();
      await server.query(
        `CREATE TABLE "No Key" (a int); CREATE UNLOGGED TABLE fleeting (a int PRIMARY KEY); CREATE EXTENSION hstore; CREATE FOREIGN DATA WRAPPER w;
         CREATE SERVER elsewhere FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE remote (a int) SERVER elsewhere`,
        database,
      );
      const { findings } = await postgresEngine.check(connectionTo(server, database), context());
      const find = (code: string) => findings.find((finding) => finding.code === code);
      expect(find('no_replica_identity')).toMatchObject({
        severity: 'info',
        statement: expect.stringContaining('ALTER TABLE public."No Key" REPLICA IDENTITY FULL'),
      });
      expect(find('unlogged_tables')?.message).toContain('fleeting');
      expect(find('foreign_tables')).toMatchObject({ severity: 'warns', message: expect.stringContaining('remote') });
      expect(find('extensions')?.message).toContain('hstore');
    });

    it('says that tools are missing instead of using those of another major', async () => {
      const database = await server.createDatabase();
      const bare = { ...context(), toolRoots: [] };
      const check = await postgresEngine.check(connectionTo(server, database), bare);
      expect(check.capabilities.dump).toBe(false);
      expect(check.findings).toContainEqual(
        expect.objectContaining({
          severity: 'refuses',
          code: 'tools_missing',
          message: expect.stringContaining('PostgreSQL 17'),
        }),
      );
      await expectCode(
        postgresEngine.openDump(connectionTo(server, database), bare, { fingerprint: true }),
        'tools_missing',
      );
    });

    it('says when TLS is asked for and not offered', async () => {
      const connection = { ...connectionTo(server, await server.createDatabase()), tls: { mode: 'require' } as const };
      await expectCode(postgresEngine.check(connection, context()), 'tls_required');
    });
  });

  describe('beside a working application', () => {
    let database = '';
    beforeAll(async () => {
      database = await server.createDatabase();
      await server.query(
        `CREATE TABLE busy (id bigserial PRIMARY KEY, note text);
         INSERT INTO busy (note) SELECT repeat(md5(i::text), 30) FROM generate_series(1, 60000) i; CREATE SEQUENCE hot;`,
        database,
      );
    });

    it('makes no write wait for a dump that starts while a long SELECT runs', async () => {
      const reader = await openClient(database);
      const writer = await openClient(database);
      const control = await openClient(database);
      const reading = reader.query('SELECT count(*), pg_sleep(60) FROM busy').catch(() => {});
      // A wait for a lock is an error here; any other wait is measured.
      await writer.query("SET lock_timeout = '2s'");
      const watch = watchWrites(
        () => writer.query("INSERT INTO busy (note) VALUES ('w')"),
        () => control.query('SELECT 1'),
      );
      await takeDump(connectionTo(server, database), context());
      const { writes, longestWaitMs } = await watch.stop();
      await server.query(`SELECT pg_terminate_backend(${(reader as unknown as { processID: number }).processID})`);
      await reading;
      await Promise.all([writer.end(), control.end()]);
      expect(writes).toBeGreaterThan(5);
      expect(longestWaitMs).toBeLessThan(2_000);
    });

    it('restores equal to its fingerprint although rows and sequences changed all the time', async () => {
      const writer = await openClient(database);
      let isDone = false;
      const writing = (async () => {
        while (!isDone) {
          await writer.query(
            "INSERT INTO busy (note) VALUES ('w'); SELECT nextval('hot'); DELETE FROM busy WHERE id = (SELECT min(id) FROM busy)",
          );
        }
      })();
      const dump = await takeDump(connectionTo(server, database), context());
      isDone = true;
      await writing;
      await writer.end();
      await expectRestorable(connectionTo(server, database), context(), dump);
    });

    it('gives up within seconds on a table that somebody alters, and leaves nothing behind', async () => {
      const altering = await openClient(database);
      await altering.query('BEGIN; ALTER TABLE busy ADD COLUMN extra int');
      const start = performance.now();
      await expectCode(
        takeDump(connectionTo(server, database), context()),
        'source_busy',
        'source_changed_during_dump',
      );
      expect(performance.now() - start).toBeLessThan(15_000);
      await altering.query('ROLLBACK');
      await altering.end();
      expect(dumpProcesses()).toEqual([]);
      expect(await sessions(database)).toEqual([]);
    });

    it('does not take a dump whose tool was killed for a dump', async () => {
      const session = await postgresEngine.openDump(connectionTo(server, database), context(), { fingerprint: false });
      const { stdout, done } = session.parts[0]!.start();
      const failed = expectCode(done, 'dump_failed');
      await new Promise((resolve) => stdout.once('readable', resolve));
      for (const pid of dumpProcesses()) process.kill(pid, 'SIGKILL');
      stdout.on('error', () => {});
      stdout.resume();
      expect(await failed).toContain('SIGKILL');
      await session.close();
    });

    it('tells a broken connection from a failed dump', async () => {
      const session = await postgresEngine.openDump(connectionTo(server, database), context(), { fingerprint: false });
      const { stdout, done } = session.parts[0]!.start();
      const failed = expectCode(done, 'connection_lost');
      await new Promise((resolve) => stdout.once('readable', resolve));
      await server.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND query LIKE 'COPY%'`,
      );
      stdout.on('error', () => {});
      stdout.resume();
      await failed;
      await session.close();
    });

    it('ends tool and sessions when it is closed in the middle', async () => {
      const session = await postgresEngine.openDump(connectionTo(server, database), context(), { fingerprint: true });
      const { stdout, done } = session.parts[0]!.start();
      stdout.on('error', () => {});
      const print = session.fingerprint();
      const settled = Promise.allSettled([done, print]);
      await new Promise((resolve) => stdout.once('readable', resolve));
      await session.close();
      expect(await dumpProcesses()).toEqual([]);
      await session.close();
      expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      await sleep(500);
      expect(await sessions(database)).toEqual([]);
    });

    it('keeps the silent session that holds the snapshot alive from both ends', async () => {
      const session = await postgresEngine.openDump(connectionTo(server, database), context(), { fingerprint: false });
      const [holder] = await server.query<{ client_port: number }>(
        `SELECT client_port FROM pg_stat_activity WHERE datname = '${database}' AND application_name = 'tidemark dump'`,
      );
      const ends = () => keepaliveSeconds(holder!.client_port, connectionTo(server, database).port);
      await expect.poll(() => ends().length, { timeout: 5_000 }).toBe(2);
      for (const seconds of ends()) expect(seconds).toBeLessThanOrEqual(60);
      await session.close();
    });

    it('names a position and reads through one snapshot', async () => {
      const connection = connectionTo(server, database);
      const session = await postgresEngine.openDump(connection, context(), { fingerprint: true });
      await server.query("INSERT INTO busy (note) VALUES ('after the snapshot')", database);
      const { stdout, done } = session.parts[0]!.start();
      const [archive] = await Promise.all([buffer(stdout), done]);
      await session.close();
      expect(archive.includes('after the snapshot')).toBe(false);
      expect(session.position).toEqual({ lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/), timeline: 1 });
      expect(Math.abs(Date.parse(session.takenAt) - Date.now())).toBeLessThan(60_000);
      expect(session.estimatedBytes).toBeGreaterThan(1_000_000);
    });
  });
});
