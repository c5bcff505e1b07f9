import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TidemarkError } from '../../src/domain/errors.js';
import type { RecoveryTarget } from '../../src/domain/recovery-target.js';
import type { Sandbox } from '../../src/engines/chain-engine.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { connect } from '../../src/engines/postgres/connect.js';
import { findDescendants, readCommandLine } from '../../src/platform/processes.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import { recoverWhileFetching } from '../../src/recovery/recover-while-fetching.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { expectCode, useContext } from './contract-support.js';
import type { StoredLog, TakenBackup } from './postgres-chain-support.js';
import { copyLog, takeFull, useReceiver, useSandboxes } from './postgres-chain-support.js';

type Tick = { readonly id: number; readonly at: string };
type Collected = StoredLog & { logEnd: NonNullable<StoredLog['logEnd']> };

const micros = (time: string): bigint =>
  BigInt(Date.parse(`${time.slice(0, 19)}Z`)) * 1000n + BigInt(time.slice(20, 26));
const toTime = (us: bigint): string =>
  `${new Date(Number(us / 1000n)).toISOString().slice(0, 19)}.${String(us % 1_000_000n).padStart(6, '0')}Z`;

describeEngine('pg17', 'recovery of PostgreSQL from a full and its log', () => {
  const server = usePrivateEngine('pg17', { settings: { track_commit_timestamp: 'on' } });
  const receiver = useReceiver(server);
  const context = useContext();
  const sandboxes = useSandboxes(context);
  let full: TakenBackup;
  let log: Collected;
  let ticks: Tick[];
  /** LSN after tick 20. */
  let middle: string;
  const damaged: string[] = [];

  const tick = (count: number) =>
    server.query(
      `DO $$ BEGIN FOR i IN 1..${count} LOOP INSERT INTO ticks DEFAULT VALUES; COMMIT; END LOOP; END $$`,
      'ticking',
    );
  const read = async (sandbox: Sandbox, sql: string, database = 'ticking') => {
    const session = await connect(
      { ...sandbox.connection, database },
      { signal: new AbortController().signal, applicationName: 'test' },
    );
    try {
      return await session.rows(sql);
    } finally {
      await session.close();
    }
  };
  /** Recovers, reads the ticks that are there, and throws the sandbox away. */
  const ticksAt = async (target: RecoveryTarget, stored: Collected = log) => {
    const sandbox = await sandboxes.open([full], { ...stored, target });
    const rows = await read(sandbox, 'SELECT id FROM ticks ORDER BY id');
    await sandbox.close();
    const ids = rows.map(({ id }) => Number(id));
    expect(ids).toEqual(ids.map((_, index) => index + 1));
    return { count: ids.length, lastApplied: sandbox.lastApplied, firstRefused: sandbox.firstRefused };
  };
  const commitOf = (id: number) => ticks[id - 1]!.at;
  const time = (at: string, before = false): RecoveryTarget => ({ kind: 'time', time: at, before });

  beforeAll(async () => {
    await receiver.start();
    await server.createDatabase({ name: 'ticking' });
    await server.query('CREATE TABLE ticks (id serial PRIMARY KEY)', 'ticking');
    await tick(5);
    full = await takeFull(server, context());
    await tick(15);
    const [at] = await server.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
    middle = at!.lsn;
    await server.query('SELECT pg_switch_wal()');
    await tick(10);
    // Roles and databases are in the log like everything else.
    await server.query("CREATE ROLE late LOGIN PASSWORD 'x'; GRANT pg_monitor TO late");
    await server.createDatabase({ name: 'late_database' });
    await tick(10);
    log = await receiver.collect();
    ticks = await server.query<Tick>(
      `SELECT id, to_char(pg_xact_commit_timestamp(xmin) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at FROM ticks ORDER BY id`,
      'ticking',
    );
  });
  afterAll(() => {
    for (const dir of damaged) rmSync(dir, { recursive: true, force: true });
  });

  it('stops on a commit, which it includes, and names it and the first one after it', async () => {
    const at = await ticksAt(time(commitOf(12)));
    expect(at).toMatchObject({ count: 12, lastApplied: { at: commitOf(12) }, firstRefused: { at: commitOf(13) } });
    // The positions that it names lead to the same point again.
    const applied = await ticksAt({ kind: 'position', position: at.lastApplied!.position!, before: false });
    expect(applied.count).toBe(12);
    const refused = await ticksAt({ kind: 'position', position: at.firstRefused!.position!, before: true });
    expect(refused.count).toBe(12);
  });

  it('stops short of a commit that lies exactly at the time when asked to', async () => {
    expect(await ticksAt(time(commitOf(12), true))).toMatchObject({
      count: 11,
      firstRefused: { at: commitOf(12) },
    });
  });

  it('stops between two commits, whatever the zone and the digits of the time', async () => {
    const between = micros(commitOf(25)) + 1n;
    expect(micros(commitOf(26))).toBeGreaterThan(between);
    expect((await ticksAt(time(toTime(between)))).count).toBe(25);
    // Rounded to microseconds this would be the time of tick 26.
    const almost = toTime(micros(commitOf(26)) - 1n).replace('Z', '9Z');
    expect((await ticksAt(time(almost))).count).toBe(25);
    expect((await ticksAt(time(almost, true))).count).toBe(25);
    const elsewhere = `${new Date(Number(micros(commitOf(25)) / 1000n) + 7_200_000).toISOString().slice(0, 19)}.${commitOf(25).slice(20, 26)}+02:00`;
    expect((await ticksAt(time(elsewhere))).count).toBe(25);
  });

  it('reaches the earliest time of the backup and refuses one before it', async () => {
    expect((await ticksAt(time(full.result.takenAt))).count).toBe(5);
    await expectCode(ticksAt(time(toTime(micros(full.result.takenAt) - 1n))), 'outside_window');
    await expectCode(ticksAt({ kind: 'position', position: full.startPosition.lsn!, before: false }), 'outside_window');
  });

  it('recovers the last commit, and everything when the time is later than it on an idle source', async () => {
    expect(await ticksAt(time(commitOf(40)))).toMatchObject({ count: 40, firstRefused: null });
    expect(await ticksAt(time(toTime(micros(commitOf(40)) + 3_600_000_000n)))).toMatchObject({
      count: 40,
      firstRefused: null,
    });
  });

  it('stops at a position, which may be the end of the log', async () => {
    expect((await ticksAt({ kind: 'position', position: middle, before: true })).count).toBe(20);
    expect((await ticksAt({ kind: 'position', position: log.logEnd.lsn!, before: false })).count).toBe(40);
    await expectCode(ticksAt({ kind: 'position', position: 'FF/0', before: false }), 'outside_window');
    await expectCode(ticksAt({ kind: 'position', position: 'nonsense', before: false }), 'invalid_request');
  });

  it('replays everything: later databases and accounts too, readable by dump, and leaves the log as it was', async () => {
    const phases: string[] = [];
    // Behind the end the last one is filled up with zeros.
    const hashes = () =>
      log.logFiles.map(({ name, bytes }) => {
        const stored = readFileSync(join(log.logDir, name)).subarray(0, bytes);
        return createHash('sha256').update(stored).digest('hex');
      });
    const before = hashes();
    const sandbox = await sandboxes.open([full], {
      ...log,
      target: { kind: 'latest' },
      onPhase: (phase) => void phases.push(phase),
    });
    expect(sandbox.databases).toEqual(['late_database', 'postgres', 'ticking']);
    expect(await read(sandbox, "SELECT pg_has_role('late', 'pg_monitor', 'MEMBER') AS granted")).toEqual([
      { granted: 't' },
    ]);
    expect(await read(sandbox, 'SELECT count(*)::text AS n FROM ticks')).toEqual([{ n: '40' }]);
    expect(phases).toEqual(expect.arrayContaining(['unpacking and verifying the full', 'replaying']));
    // Read where it lies, without a copy.
    expect(log.logFiles.some(({ name }) => statSync(join(log.logDir, name)).nlink > 1)).toBe(true);
    await sandbox.close();
    expect(hashes()).toEqual(before);
  });

  it('begins while its log is still fetched; when either fails, the other one ends, and the failure is told', async () => {
    const engine = getChainEngine('postgresql');
    const options = (dir: string, backup: TakenBackup) => {
      const { logDir, logEnd } = log;
      const { server: of } = full;
      return {
        dir,
        server: of,
        backups: [backup],
        logDir,
        logEnd,
        target: { kind: 'latest' },
        onPhase: () => {},
      } as const;
    };
    const sandbox = await recoverWhileFetching(engine, context(), options(sandboxes.folder(), full), async () => {
      await sleep(300);
      return log.logFiles;
    });
    expect(await read(sandbox, 'SELECT count(*) AS n FROM ticks')).toEqual([{ n: String(ticks.length) }]);
    await sandbox.close();

    const dir = sandboxes.folder();
    const lost = new TidemarkError('object_missing', 'The slice is gone.');
    const withoutLog = recoverWhileFetching(engine, context(), options(dir, full), async () => {
      await sleep(50);
      throw lost;
    });
    await expect(withoutLog).rejects.toBe(lost);
    expect(readdirSync(dir)).not.toContain('server.conf');

    let ended = false;
    const gone = new TidemarkError('object_corrupt', 'The full is not what was written.');
    const parts = full.parts.map((part) => ({
      ...part,
      open: () => Promise.reject(gone),
      openPacked: () => Promise.reject(gone),
    }));
    const fetching = (signal: AbortSignal) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => {
          ended = true;
          reject(signal.reason);
        });
      });
    const damagedFull = options(sandboxes.folder(), { ...full, parts });
    await expect(recoverWhileFetching(engine, context(), damagedFull, fetching)).rejects.toBe(gone);
    expect(ended).toBe(true);
  });

  it('never opens a server whose log has a hole or ends early', async () => {
    const names = log.logFiles.map(({ name }) => name);
    const after = names[names.length - 2]!;
    const without = copyLog(log);
    damaged.push(without);
    rmSync(join(without, after));
    const hole = { ...log, logDir: without, logFiles: log.logFiles.filter(({ name }) => name !== after) };
    expect(await expectCode(ticksAt({ kind: 'latest' }, hole), 'recovery_incomplete')).toContain(after);
    expect(await expectCode(ticksAt(time(commitOf(40)), hole), 'recovery_incomplete')).toContain(after);
    const short = copyLog(log);
    damaged.push(short);
    truncateSync(join(short, after), 1_000_000);
    await expectCode(ticksAt({ kind: 'latest' }, { ...log, logDir: short }), 'recovery_incomplete');
    // Whole by its length, but not by its content: nothing but replay itself can tell.
    const blank = copyLog(log);
    damaged.push(blank);
    const last = names.at(-1)!;
    truncateSync(join(blank, last), 100);
    truncateSync(join(blank, last), log.logFiles.at(-1)!.bytes);
    const message = await expectCode(ticksAt({ kind: 'latest' }, { ...log, logDir: blank }), 'recovery_incomplete');
    expect(message).toContain(log.logEnd.lsn!);
    await expectCode(
      ticksAt(time(toTime(micros(commitOf(40)) + 1_000_000n)), { ...log, logDir: blank }),
      'recovery_incomplete',
    );
  });

  it('fails when its server is killed, and leaves no process behind', async () => {
    const dir = sandboxes.folder();
    const own = () =>
      findDescendants(process.pid).filter(({ pid }) => readCommandLine(pid).some((word) => word.includes(dir)));
    let killed = false;
    const killing = setInterval(() => {
      for (const { pid } of own())
        if (
          readCommandLine(pid)[0]?.endsWith('/postgres') &&
          readCommandLine(pid).includes('-D') &&
          !readCommandLine(pid).includes('-C')
        ) {
          killed = true;
          process.kill(pid, 'SIGKILL');
        }
    }, 10);
    try {
      await expectCode(sandboxes.open([full], { ...log, dir, target: { kind: 'latest' } }), 'sandbox_failed');
    } finally {
      clearInterval(killing);
    }
    expect(killed).toBe(true);
    await expect.poll(own, { timeout: 10_000 }).toEqual([]);
  });

  it('works where the log renamed the superuser and forbade others to log in', async () => {
    await server.query('CREATE ROLE helper SUPERUSER LOGIN');
    const { host, port } = server;
    const helper = await connect(
      {
        engine: 'postgresql',
        host,
        port,
        username: server.adminUser,
        password: server.adminPassword,
        database: 'postgres',
        tls: null,
      },
      { signal: new AbortController().signal, applicationName: 'test' },
    );
    await helper.run('SET ROLE helper; SET SESSION AUTHORIZATION helper');
    await helper.run('ALTER ROLE postgres RENAME TO boss');
    const [{ lsn, timeline }] = (await helper.rows(
      'SELECT pg_current_wal_flush_lsn()::text AS lsn, timeline_id::text AS timeline FROM pg_control_checkpoint()',
    )) as [{ lsn: string; timeline: string }];
    await helper.run('ALTER ROLE boss RENAME TO postgres');
    await helper.run(`ALTER ROLE postgres PASSWORD '${server.adminPassword}'`);
    await helper.close();
    expect(timeline).toBe('1');
    const stored = await receiver.collect();
    const sandbox = await sandboxes.open([full], {
      ...stored,
      target: { kind: 'position', position: lsn, before: true },
    });
    expect(sandbox.connection.username).not.toBe('postgres');
    expect(await read(sandbox, 'SELECT rolname FROM pg_roles WHERE oid = 10')).toEqual([{ rolname: 'boss' }]);
    await sandbox.close();
  });
});

describeEngine('pg18', 'recovery of PostgreSQL past a promotion', () => {
  const server = usePrivateEngine('pg18');
  const receiver = useReceiver(server);
  const context = useContext();
  const sandboxes = useSandboxes(context);

  it('follows the log to the new timeline, and stops on either side of it', async () => {
    await receiver.start();
    const database = await server.createDatabase();
    const put = (value: number) =>
      server.query(`CREATE TABLE IF NOT EXISTS seen (a int); INSERT INTO seen VALUES (${value})`, database);
    await put(1);
    const full = await takeFull(server, context());
    await put(2);
    const [before] = await server.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
    await put(3);
    await server.stop();
    const signal = join(server.engineDataDir, 'standby.signal');
    writeFileSync(signal, '');
    giveTo(serverUser(), signal);
    await server.restart();
    await server.query('SELECT pg_promote()');
    await put(4);
    await server.query('CHECKPOINT');
    const log = await receiver.collect();
    expect(log.logEnd.timeline).toBe(2);
    const seen = async (target: RecoveryTarget) => {
      const sandbox = await sandboxes.open([full], { ...log, target });
      const session = await connect(
        { ...sandbox.connection, database },
        { signal: new AbortController().signal, applicationName: 'test' },
      );
      const values = (await session.rows('SELECT a FROM seen ORDER BY a')).map(({ a }) => Number(a));
      await session.close();
      await sandbox.close();
      return values;
    };
    expect(await seen({ kind: 'latest' })).toEqual([1, 2, 3, 4]);
    expect(await seen({ kind: 'position', position: before!.lsn, before: true })).toEqual([1, 2]);
    const history = log.logFiles.filter(({ name }) => !name.endsWith('.history'));
    rmSync(join(log.logDir, '00000002.history'));
    await expectCode(
      sandboxes.open([full], { ...log, logFiles: history, target: { kind: 'latest' } }),
      'recovery_incomplete',
    );
  });
});
