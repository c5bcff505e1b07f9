/** A PostgreSQL server is archived, backed up and restored to moments: everything before the point, nothing after it. */
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { recoveryWindow } from '../../src/catalog/runs/recovery-window.js';
import { loadConfig } from '../../src/config.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { engineRoot } from '../../src/platform/installed.js';
import { findFreePort } from '../../src/platform/ports.js';
import { serverUser } from '../../src/platform/run-as.js';
import { runChild } from '../../src/platform/run-child.js';
import type { ArchivedServer } from '../support/archived-server.js';
import { archiveServer } from '../support/archived-server.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import type { WorkerProcess } from '../support/run-stack.js';
import { useRunStack } from '../support/run-stack.js';

const schema = `
  create table written (n bigint generated always as identity primary key, pad text);
  create table moved (n bigint primary key);
  create table later_dropped (n int);
  insert into later_dropped select generate_series(1, 100);
  create sequence tickets;
`;

/** A committed row, by the source's own account. */
type Commit = { n: string; at: string };

describeEngine('pg17', 'point-in-time recovery of a PostgreSQL server', () => {
  const source = usePrivateEngine('pg17', { settings: { track_commit_timestamp: 'on', summarize_wal: 'on' } });
  const stack = useRunStack();
  const root = mkdtempSync(join(tmpdir(), 'tm-pitr-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  let server: ArchivedServer;
  let worker: WorkerProcess;
  let busy: string;
  let commits: Commit[] = [];

  const takeBackup = async (kind: 'full' | 'incremental') => (await server.takeBackup(kind)).id;

  /** Another database of the server is written to for as long as something else lasts. */
  async function whileBusy<T>(work: Promise<T>): Promise<T> {
    let running = true;
    const done = work.finally(() => {
      running = false;
    });
    done.catch(() => {});
    while (running) {
      await source.query('insert into noise select generate_series(1, 500)', busy);
      await sleep(20);
    }
    return await done;
  }

  /** Commits one row at a time, and as much again elsewhere on the same server, with accounts and definitions in between. */
  async function write(rows: number): Promise<void> {
    const client = new pg.Client({ ...server.connection, user: server.connection.username });
    await client.connect();
    for (let row = 0; row < rows; row += 1) {
      await client.query(`insert into written (pad) values (repeat('x', 300))`);
      await client.query(`select nextval('tickets')`);
      if (row % 5 === 0) await source.query(`insert into noise select generate_series(1, 200)`, busy);
      await sleep(10);
    }
    await client.end();
  }

  const readCommits = () =>
    source.query<Commit>(
      `select n::text, to_char(pg_xact_commit_timestamp(xmin) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at from written order by written.n`,
      server.name,
    );

  type Point = { time?: string; position?: string; before?: boolean };
  /** Restores a point under another name and reads which rows are there. */
  async function restoreTo(point: Point) {
    const { name: database, row } = await server.restorePoint(point);
    if (row.status !== 'completed') return { row, rows: [] as string[], database };
    const found = await source.query<{ n: string }>('select n::text from written order by written.n', database);
    return { row, rows: found.map(({ n }) => n), database };
  }
  const upTo = (time: string) => commits.filter(({ at }) => at <= time).map(({ n }) => n);

  beforeAll(async () => {
    server = await archiveServer(stack, source, getChainEngine('postgresql'), { schema });
    busy = await source.createDatabase();
    await source.query('create table noise (n int)', busy);
    worker = await stack.startWorker({ queues: 'control,data,stream' });
    await server.wake();
    await server.caughtUp();
    await write(20);
    await whileBusy(takeBackup('full'));
    await write(40);
    await whileBusy(takeBackup('incremental'));
    await write(20);
    const later = uniqueName('later');
    await source.query(
      `create role ${later} login; grant select on written to ${later}; alter table written add column added int default 7; drop table later_dropped;
       select lo_from_bytea(4711, 'in the log')`,
      server.name,
    );
    await write(20);
    await server.caughtUp();
    commits = await readCommits();
  }, 400_000);

  test('the window begins with the full, and moves on although nothing is written', async () => {
    const window = await recoveryWindow(stack.catalog, { chainId: server.chainId });
    const full = await stack.catalog.prisma.backup.findFirstOrThrow({
      where: { chainId: server.chainId, kind: 'full' },
    });
    expect(window?.from).toBe(full.takenAt?.toISOString());
    expect(window?.runs).toHaveLength(1);
    const last = commits.at(-1)?.at ?? '';
    expect(Date.parse(window?.to ?? '')).toBeGreaterThan(Date.parse(last));
    // Schedules stop while failures have paused the policy; the log is followed on.
    const pause = (data: { status: string; pausedBy: string | null }) =>
      stack.catalog.prisma.policy.update({ where: { id: server.policyId }, data });
    await pause({ status: 'paused', pausedBy: 'failures' });
    await server.wake();
    await sleep(12_000);
    await pause({ status: 'active', pausedBy: null });
    const later = await recoveryWindow(stack.catalog, { chainId: server.chainId });
    expect(Date.parse(later?.to ?? '')).toBeGreaterThan(Date.parse(window?.to ?? ''));
  });

  test('a moment exactly on a commit includes it, and short of it excludes it', async () => {
    const { at } = commits[35] as Commit;
    const on = await restoreTo({ time: at });
    expect(on.row).toMatchObject({ status: 'completed', proof: 'transport', error: null });
    expect(on.rows).toEqual(upTo(at));
    expect(on.row.lastApplied).toMatchObject({ at: expect.any(String) });
    const short = await restoreTo({ time: at, before: true });
    expect(short.rows).toEqual(upTo(at).slice(0, -1));
  });

  test('a moment after the incremental is recovered over it, with later definitions and without later ones', async () => {
    const [early, late] = [commits[70] as Commit, commits[95] as Commit];
    const before = await restoreTo({ time: early.at });
    expect(before.rows).toEqual(upTo(early.at));
    const plan = before.row.recovery as { backupIds: string[]; log: { fromSeq: number } };
    expect(plan.backupIds).toHaveLength(2);
    expect(await source.query('select count(*)::int as n from later_dropped', before.database)).toEqual([{ n: 100 }]);
    expect(await source.query('select oid from pg_largeobject_metadata', before.database)).toEqual([]);
    // Each commit but the last had drawn a number; none of them is drawn again.
    const [next] = await source.query<{ n: number }>(`select nextval('tickets')::int as n`, before.database);
    expect(next?.n).toBeGreaterThanOrEqual(before.rows.length);
    const after = await restoreTo({ time: late.at });
    expect(after.rows).toEqual(upTo(late.at));
    const [added] = await source.query<{ added: number }>('select added from written limit 1', after.database);
    expect(added?.added).toBe(7);
    const large = `select convert_from(lo_get(4711), 'UTF8') as text`;
    expect(await source.query(large, after.database)).toEqual([{ text: 'in the log' }]);
    const granted = `select grantee from information_schema.role_table_grants where table_name = 'written' and grantee like 'later%'`;
    expect(await source.query(granted, after.database)).toHaveLength(1);
    expect(await source.query(granted, before.database)).toEqual([]);
  });

  test('the first moment of the window holds what the full holds, the latest point and a moment after the last commit everything', async () => {
    const latest = await restoreTo({});
    expect(latest.rows).toEqual(commits.map(({ n }) => n));
    const window = await recoveryWindow(stack.catalog, { chainId: server.chainId });
    expect((await restoreTo({ time: window?.from ?? '' })).rows).toEqual(commits.slice(0, 20).map(({ n }) => n));
    const idle = await restoreTo({ time: window?.to ?? '' });
    expect(idle.rows).toEqual(commits.map(({ n }) => n));
  });

  test('a position is recovered to, and what lies outside the window is refused by naming it', async () => {
    const [{ lsn } = { lsn: '' }] = await source.query<{ lsn: string }>(
      'select pg_current_wal_flush_lsn()::text as lsn',
    );
    await write(10);
    await server.caughtUp();
    const all = (await readCommits()).map(({ n }) => n);
    const at = await restoreTo({ position: lsn, before: true });
    expect(at.rows).toEqual(commits.map(({ n }) => n));
    expect(all.length).toBe(commits.length + 10);
    for (const time of ['2020-01-01T00:00:00Z', new Date(Date.now() + 3_600_000).toISOString()]) {
      const refused = await restoreTo({ time }).catch((error: unknown) => error);
      const text = JSON.stringify(refused instanceof Error ? { ...refused, message: refused.message } : refused);
      expect(text).toContain('outside_window');
    }
  });

  test('a recovery for which there is no room is refused with the numbers, before anything is written', async () => {
    const { prisma } = stack.catalog;
    const full = await prisma.backup.findFirstOrThrow({ where: { chainId: server.chainId, kind: 'full' } });
    const claim = (bytes: bigint | null) => prisma.backup.update({ where: { id: full.id }, data: { bytes } });
    await claim(10n ** 15n);
    const { row, database } = await restoreTo({});
    await claim(full.bytes);
    expect(row).toMatchObject({ status: 'failed', error: { code: 'sandbox_space' }, stagingName: null });
    expect((row.error as { message: string }).message).toMatch(/needs about \d{9,} MiB; .* has \d+ MiB free/);
    expect(await source.query(`select 1 from pg_database where datname = '${database}'`)).toEqual([]);
  });

  test('the store and the key alone give a data directory that recovers to the moment', async () => {
    const { at } = commits[60] as Commit;
    const out = join(root, 'extracted');
    const result = await runChild({
      command: process.execPath,
      args: [
        ...['--import', 'tsx', 'src/cli/main.ts', 'extract', '--from', `s3://${server.bucket}`],
        ...['--credentials', await credentialsFile(), '--endpoint', stack.store.endpoint],
        ...['--master-key', join(stack.home, 'master.key')],
        ...['--database-server', server.serverId, '--time', at, '--out', out],
      ],
      env: { ...engineEnvironment() },
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      label: 'tidemark extract',
    });
    expect(`${result.stdout}${result.stderr}`).toContain('pg_ctl -D');
    expect(result.code).toBe(0);
    expect(readFileSync(join(out, 'README.txt'), 'utf8')).toContain(at);
    expect(await startAndCount(out)).toBe(upTo(at).length);
  });

  function engineEnvironment(): Record<string, string> {
    const { HOME, XDG_CACHE_HOME, TIDEMARK_ENGINES } = loadConfig().install;
    const entries = Object.entries({ HOME, XDG_CACHE_HOME, TIDEMARK_ENGINES });
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
  }

  async function credentialsFile(): Promise<string> {
    const { writeFileSync } = await import('node:fs');
    const path = join(root, 'store.json');
    const { accessKeyId, secretAccessKey } = stack.store;
    writeFileSync(path, JSON.stringify({ accessKeyId, secretAccessKey }), { mode: 0o600 });
    return path;
  }

  /** As the README says: another owner, then pg_ctl; counts the rows and stops it. */
  async function startAndCount(dir: string): Promise<number> {
    const user = serverUser();
    const bin = join(engineRoot('pg17', loadConfig().install) ?? '', 'usr/lib/postgresql/17/bin');
    const port = await findFreePort();
    const data = join(dir, 'data');
    const socket = mkdtempSync(join(tmpdir(), 'tm-px-'));
    if (user) {
      const { chmodSync } = await import('node:fs');
      for (const path of [root, dir]) chmodSync(path, 0o755);
      chownSync(socket, user.uid, user.gid);
      const owner = `${user.uid}:${user.gid}`;
      await runChild({ command: 'chown', args: ['-R', owner, dir], env: {}, label: 'chown' });
    }
    const run = (args: readonly string[]) =>
      runChild({
        command: join(bin, 'pg_ctl'),
        args,
        label: 'pg_ctl',
        ...(user ? { user } : {}),
        env: { LC_ALL: 'C' },
      });
    const log = join(data, 'start.log');
    const options = `-p ${port} -c unix_socket_directories=${socket} -c listen_addresses=127.0.0.1`;
    const started = await run(['-D', data, '-o', options, '-l', log, '-w', '-t', '60', 'start']);
    try {
      expect(`${started.stdout} ${started.code === 0 ? '' : readFileSync(log, 'utf8')}`).toContain('server started');
      const { username: name, password, database } = server.connection;
      const client = new pg.Client({ host: '127.0.0.1', port, user: name, password, database });
      await client.connect();
      const { rows } = await client.query<{ n: number }>('select count(*)::int as n from written');
      await client.end();
      return rows[0]?.n ?? -1;
    } finally {
      await run(['-D', data, '-m', 'immediate', '-w', 'stop']);
      rmSync(socket, { recursive: true, force: true });
    }
  }

  test('a kill of the worker during recovery is made up for by the next, in a fresh sandbox', async () => {
    await worker.stop();
    const fault = stack.placeFaults(['recovered']);
    const doomed = await stack.startWorker({ queues: 'control,data,stream', faults: fault.setting });
    const { at } = commits[50] as Commit;
    const restoring = restoreTo({ time: at });
    await fault.reached('recovered', 120_000);
    await doomed.kill();
    worker = await stack.startWorker({ queues: 'control,data,stream' });
    const { row, rows } = await restoring;
    expect(row).toMatchObject({ status: 'completed', error: null });
    expect(rows).toEqual(upTo(at));
    await worker.stop();
  });
});
