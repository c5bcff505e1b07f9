/** MySQL and MariaDB servers under a policy, through the API alone: everything before a chosen point, nothing after it. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withSql } from '../../scripts/soak/sql.js';
import { loadConfig } from '../../src/config.js';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import type { CheckResult } from '../../src/domain/schemas/checks.js';
import type { Page } from '../../src/domain/schemas/common.js';
import type { RecoveryWindowResource } from '../../src/domain/schemas/policies.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { attach, backUpServer, createPolicy, eventually, untilCovered, windowOf } from '../support/policy-client.js';
import { useStoreCommand } from '../support/run-cli.js';
import { useTidemark } from '../support/tidemark.js';

/** MariaDB's log has whole seconds: a moment this far from its neighbours means the same rows on both engines. */
const CLEAR_MS = 1_500;
const schema = `
  create table written (n bigint primary key, at timestamp(6) not null default current_timestamp(6), pad varchar(300));
  insert into written (n, pad) values (1, 'before the full'), (2, 'before the full');
  create table later_dropped (n int); insert into later_dropped values (1), (2), (3);
`;

/** Commits numbered rows, each a transaction of its own; the GTID of each, by the server's own account. */
async function openWriter(source: TestEngine, database: string) {
  const { host, port, adminUser: user, adminPassword: password, product } = source;
  const client = await createConnection({ host, port, user, password, database });
  if (product === 'mysql') await client.query('set session session_track_gtids = OWN_GTID');
  const positions = new Map<number, string>();
  let last = 2;
  return {
    positions,
    last: () => last,
    /** As a session of a few rows writes them: with pauses. */
    async write(rows: number): Promise<void> {
      for (let row = 0; row < rows; row += 1) {
        last += 1;
        const [done] = await client.query<ResultSetHeader>(
          `insert into written (n, pad) values (?, repeat('x', 200))`,
          [last],
        );
        if (product === 'mysql') {
          const { stateChanges } = done as ResultSetHeader & { stateChanges?: { gtids: string[] } };
          positions.set(last, stateChanges?.gtids[0] ?? '');
        } else {
          const [[row]] = await client.query<RowDataPacket[]>('select @@last_gtid as gtid');
          positions.set(last, String(row?.gtid));
        }
        await sleep(10);
      }
    },
    /** A moment between two commits, by the source's clock. */
    async moment(): Promise<string> {
      await sleep(CLEAR_MS);
      const [[row]] = await client.query<RowDataPacket[]>(
        `select concat(date_format(utc_timestamp(6), '%Y-%m-%dT%H:%i:%s.%f'), 'Z') as at`,
      );
      await sleep(CLEAR_MS);
      return String(row?.at);
    },
    close: () => client.end(),
  };
}

/** Another database of the server that is written to all the time, until it is stopped; how many rows it has then. */
function keepBusy(source: TestEngine, database: string) {
  let running = true;
  const work = (async () => {
    await source.query('create table noise (n int, filling varchar(200))', database);
    while (running) {
      await source.query(`insert into noise values (1, repeat('n', 200)), (2, repeat('m', 200))`, database);
      await sleep(20);
    }
  })();
  work.catch(() => {});
  return {
    async stop(): Promise<void> {
      running = false;
      await work;
    },
  };
}

describe('point-in-time recovery', () => {
  const tidemark = useTidemark();
  const scratch = mkdtempSync(join(tmpdir(), 'tm-pitr-'));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  for (const product of ['mysql', 'mariadb'] as const) {
    describeEngine(product, `of a ${product} server`, () => {
      const source = usePrivateEngine(product);
      // As the README of the extracted files asks for it.
      const rescue = usePrivateEngine(
        product,
        product === 'mariadb' ? { settings: { 'gtid-strict-mode': 'OFF' } } : {},
      );
      const prefix = `pitr-${product}`;
      const command = useStoreCommand(tidemark, prefix);
      const laterUser = uniqueName('later');
      const rescuer = { username: 'rescuer', password: uniqueName('pw') };
      let database: string;
      /** Made after the full. */
      let born: string;
      let databaseId: string;
      let serverId: string;
      let writer: Awaited<ReturnType<typeof openWriter>>;
      let busy: ReturnType<typeof keepBusy>;
      let full: BackupResource;
      let incremental: BackupResource;
      let atIncremental: number;
      let between: { time: string; last: number };
      let window: RecoveryWindowResource;
      let rows: string[];

      const written = 'select concat(n, " ", at, " ", sha2(pad, 256)) as `row` from written order by n';
      const readRows = async (name: string) =>
        (await source.query<{ row: string }>(written, name)).map(({ row }) => row);
      const upTo = (last: number) => rows.slice(0, last);

      type Point = { time?: string; position?: string; before?: boolean } | { backupId: string };
      const sourceOf = (point: Point) =>
        'backupId' in point ? { kind: 'backup', ...point } : { kind: 'pitr', databaseId, ...point };
      async function restore(point: Point, place: Record<string, unknown>) {
        const done = await tidemark.restore({ source: sourceOf(point), ...place });
        expect(done).toMatchObject({ status: 'completed', error: null });
        return done;
      }
      /** Restores under another name; the restore and the rows it brought. */
      async function restoreTo(point: Point) {
        const name = uniqueName('restored');
        const done = await restore(point, { target: { kind: 'server', databaseId, database: name } });
        return { restore: done, name, rows: await readRows(name) };
      }

      beforeAll(async () => {
        database = await source.createDatabase();
        await source.query(schema, database);
        const other = await source.createDatabase();
        databaseId = await tidemark.registerDatabase(source, database);
        const policyId = await createPolicy(tidemark, await tidemark.createDestination(prefix), product);
        serverId = (await attach(tidemark, policyId, databaseId)).serverId ?? '';
        const { items } = await tidemark.api.get<Page<BackupResource>>(`/v1/backups?databaseId=${databaseId}`);
        full = items.find(({ kind }) => kind === 'full') as BackupResource;
        busy = keepBusy(source, other);
        writer = await openWriter(source, database);
        await writer.write(15);
        await source.query(
          `create user ${laterUser}@'%' identified by 'later'; grant select on \`${database}\`.* to ${laterUser}@'%'`,
        );
        born = await source.createDatabase();
        await source.query('create table first (n int); insert into first values (1)', born);
        await writer.write(5);
        atIncremental = writer.last();
        incremental = await backUpServer(tidemark, databaseId, 'incremental');
        await writer.write(15);
        between = { last: writer.last(), time: await writer.moment() };
        await source.query('alter table written add column added int default 7; drop table later_dropped', database);
        await writer.write(15);
        window = await untilCovered(tidemark, databaseId);
        rows = await readRows(database);
        await busy.stop();
        await writer.close();
      }, 600_000);

      test('a position includes its commit, and short of it stops before it', async () => {
        const [tenth, thirtieth] = [writer.positions.get(10) ?? '', writer.positions.get(30) ?? ''];
        const [at, before] = await Promise.all([
          restoreTo({ position: tenth }),
          restoreTo({ position: thirtieth, before: true }),
        ]);
        expect(at.rows).toEqual(upTo(10));
        expect(at.restore).toMatchObject({ proof: 'transport', lastApplied: { position: tenth } });
        expect(before.rows).toEqual(upTo(29));
        expect(before.restore).toMatchObject({ firstRefused: { position: thirtieth } });
      }, 400_000);

      test('a moment between two commits holds what was committed before it, and nothing of what came after', async () => {
        const { rows: found, name } = await restoreTo({ time: between.time });
        expect(found).toEqual(upTo(between.last));
        expect(await source.query('select count(*) as n from later_dropped', name)).toMatchObject([{ n: 3 }]);
        const columns = `select column_name from information_schema.columns where table_schema = '${name}' and column_name = 'added'`;
        expect(await source.query(columns)).toEqual([]);
      }, 400_000);

      test('the first moment of the window holds what the full holds, its last one and the latest point everything, later definitions included', async () => {
        expect(writer.last()).toBe(52);
        expect(rows).toHaveLength(52);
        const [first, ...restored] = await Promise.all(
          [{ time: window.from ?? '' }, {}, { time: window.to ?? '' }].map(restoreTo),
        );
        expect(first?.rows).toEqual(upTo(2));
        for (const { rows: found, name } of restored) {
          expect(found).toEqual(rows);
          expect(await source.query('select distinct added from written', name)).toEqual([{ added: 7 }]);
          expect(await source.query('show tables', name)).toHaveLength(1);
        }
      }, 400_000);

      test('the full and the incremental hold the rows of when they were taken, and the databases of then', async () => {
        const [first, later] = await Promise.all([full, incremental].map(({ id }) => restoreTo({ backupId: id })));
        expect(first?.rows).toEqual(upTo(2));
        expect(later?.rows).toEqual(upTo(atIncremental));
        const bornId = await tidemark.registerDatabase(source, born);
        const check = () => tidemark.api.post<CheckResult>(`/v1/databases/${bornId}/check`);
        await eventually(async () => (await check()).ok, 'the database to be checked', 60_000);
        const [none, some] = await Promise.all(
          [full, incremental].map(({ id }) =>
            tidemark.restore({
              source: { kind: 'backup', backupId: id, databaseId: bornId },
              target: { kind: 'server', databaseId, database: uniqueName('restored') },
            }),
          ),
        );
        expect(none).toMatchObject({ status: 'failed', error: { code: 'database_missing' } });
        expect(none?.error?.message).toContain(born);
        expect(some).toMatchObject({ status: 'completed', error: null });
        const place = (some as { target: { database: string } }).target.database;
        expect(await source.query('select n from first', place)).toEqual([{ n: 1 }]);
      }, 400_000);

      test('a moment before or after the window is refused, and the window named', async () => {
        const { from, runs } = await windowOf(tidemark, databaseId);
        expect(from).toBe(full.takenAt);
        expect(runs).toHaveLength(1);
        const early = new Date(Date.parse(from ?? '') - 1_000).toISOString();
        const late = new Date(Date.now() + 3_600_000).toISOString();
        for (const time of [early, late]) {
          const answer = await tidemark.api.send('POST', '/v1/restores', {
            source: { kind: 'pitr', databaseId, time },
            target: { kind: 'server', databaseId, database: uniqueName('restored') },
          });
          expect(answer.status).toBe(422);
          const problem = (await answer.json()) as { code: string; detail: string };
          expect(problem.code).toBe('outside_window');
          expect(problem.detail).toContain(String(from));
        }
        // Where a GTID lies only the log tells.
        const [never, held] = ['999999', '1'].map((number) => (writer.positions.get(10) ?? '').replace(/\d+$/, number));
        const asked = [never, held].map((position) =>
          tidemark.restore({
            source: { kind: 'pitr', databaseId, position },
            target: { kind: 'server', databaseId, database: uniqueName('restored') },
          }),
        );
        for (const refused of await Promise.all(asked)) {
          expect(refused).toMatchObject({ status: 'failed', error: { code: 'outside_window' } });
          expect(refused.error?.message).toContain(String(from));
        }
      }, 200_000);

      test('the store and the master key alone give files that a server started by hand recovers from', async () => {
        const out = join(scratch, product);
        const point = ['--database-server', serverId, '--time', between.time, '--out', out];
        const said = await command('extract', ['--master-key', join(tidemark.home, 'master.key'), ...point]);
        expect(said.code, said.err).toBe(0);
        await rescue.query(
          `create user rescuer@'127.0.0.1' identified by '${rescuer.password}'; grant all privileges on *.* to rescuer@'127.0.0.1' with grant option`,
        );
        await followReadme(said.out, rescue, rescuer);
        await withSql({ ...rescuer, engine: rescue.engine, port: rescue.port }, database, async (sql) => {
          const found = await sql.query<{ n: number }>('select n from written order by n');
          expect(found.map(({ n }) => Number(n))).toEqual(
            Array.from({ length: between.last }, (_, index) => index + 1),
          );
          expect(await sql.query('select user from mysql.user where user = ?', [laterUser])).toHaveLength(1);
        });
      }, 300_000);

      test('a moment goes to another server, and over the original, whose log goes on from there', async () => {
        // Its own accounts went with what was recovered there, all but this one.
        const { host, port, engine } = rescue;
        const elsewhere = uniqueName('restored');
        const [over] = await Promise.all([
          restore({ time: between.time }, { target: { kind: 'original' }, overwrite: true, confirmOverwrite: true }),
          restore({ time: between.time }, { target: { kind: 'server', host, port, ...rescuer, database: elsewhere } }),
        ]);
        await withSql({ ...rescuer, engine, port }, elsewhere, async (sql) => {
          expect((await sql.query<{ row: string }>(written)).map(({ row }) => row)).toEqual(upTo(between.last));
        });
        expect(await readRows(database)).toEqual(upTo(between.last));
        expect(await readRows(over.previousName ?? '')).toEqual(rows);
        // A full of what stands there now is asked for.
        const { items } = await tidemark.api.get<Page<BackupResource>>(
          `/v1/backups?databaseId=${databaseId}&kind=full`,
        );
        expect(items).toMatchObject([{ trigger: 'schedule' }, { id: full.id }]);
        await source.query(`insert into written (n, pad) values (1000, 'after')`, database);
        await untilCovered(tidemark, databaseId);
        const latest = await restoreTo({});
        expect(latest.rows).toEqual(await readRows(database));
        expect(latest.rows).toHaveLength(between.last + 1);
      }, 400_000);
    });
  }

  /** Runs the commands that the README shows, as they stand there, with the client's own option file for the connection. */
  async function followReadme(readme: string, server: TestEngine, account: { username: string; password: string }) {
    const commands = [...readme.matchAll(/^ {2}(\S.*)$/gm)].map(([, line]) => line);
    expect(commands.length).toBeGreaterThan(3);
    const home = join(scratch, `home-${server.product}`);
    mkdirSync(home);
    const connection = `host=127.0.0.1\nport=${server.port}\nuser=${account.username}\npassword=${account.password}\n`;
    const plain = server.product === 'mysql' ? '' : 'skip-ssl\n';
    writeFileSync(join(home, '.my.cnf'), `[client]\n${connection}${plain}`, { mode: 0o600 });
    const root = engineRoot(server.product, loadConfig().install) ?? '';
    const path = `${engineBinDir(server.product, root)}:/usr/bin:/bin`;
    await new Promise<void>((resolve, reject) => {
      execFile(
        'bash',
        ['-e', '-o', 'pipefail', '-c', commands.join('\n')],
        { env: { HOME: home, PATH: path }, maxBuffer: 1 << 26 },
        (error, _out, err) => (error ? reject(new Error(`${error.message}\n${err}`)) : resolve()),
      );
    });
  }
});
