import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { startTcpProxy } from '../../scripts/soak/tcp-proxy.js';
import { isTidemarkError } from '../../src/domain/errors.js';
import { configureArchive } from '../../src/engines/postgres/archive/configure-archive.js';
import { readLogEnd } from '../../src/engines/postgres/archive/read-log-end.js';
import { parseLsn } from '../../src/engines/postgres/archive/wal-names.js';
import type { ArchivePlaces } from '../support/archive-places.js';
import { expectUnbroken } from '../support/archive-places.js';
import type { FolderArchive } from '../support/archive-to-folder.js';
import { describeEngine } from '../support/engine-servers.js';
import type { PostgresCopy } from '../support/start-standby.js';
import { copyPostgres, logFolderFor } from '../support/start-standby.js';
import { until } from '../support/until.js';
import { compareWithServer, useSource } from './postgres-archive-source.js';

/** Waits until following has ended with a gap; returns its error. */
async function gapOf(run: FolderArchive) {
  const failure = await until(() => run.failure(), 'the gap to be noticed', 90_000);
  if (!isTidemarkError(failure)) throw failure;
  expect(failure.code).toBe('log_gap');
  await run.stop();
  return failure;
}

describeEngine('pg17', 'gaps in the log of PostgreSQL', () => {
  const source = useSource('pg17', { max_wal_size: '32MB', min_wal_size: '32MB', wal_keep_size: '0' });
  const { server, context } = source;
  const dropSlots = () =>
    server.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active');
  /** Writes about 100 MB and lets the server remove what nobody holds. */
  const turnOver = async () => {
    for (let round = 0; round < 3; round += 1) {
      await source.fill(120_000);
      await server.query('SELECT pg_switch_wal()');
      await server.query('CHECKPOINT');
    }
  };
  const archiveSome = async (): Promise<ArchivePlaces> => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive);
    await source.fill(20_000);
    await run.catchUp();
    await run.stop();
    return archive;
  };

  it('names the exact range when the slot was dropped and the log removed while nobody followed', async () => {
    const archive = await archiveSome();
    await dropSlots();
    await turnOver();
    const run = await source.follow(archive);
    const stored = run.position();
    const failure = await gapOf(run);
    expect(failure.details.gap?.from).toEqual(stored);
    expect(parseLsn(failure.details.gap?.to?.lsn ?? '0/0')).toBeGreaterThan(parseLsn(stored?.lsn ?? 'F/0'));
    expect(failure.message).toContain(`${stored?.lsn} to ${failure.details.gap?.to?.lsn}`);
    // A new epoch begins where the source has its log again.
    const next = { ...source.newArchive(), slot: archive.slot };
    const again = await source.follow(next);
    await again.catchUp();
    await again.stop();
    expect(parseLsn(again.chunks[0]?.start.lsn ?? 'F/0')).toBeLessThanOrEqual(
      parseLsn(failure.details.gap?.to?.lsn ?? '0/0'),
    );
    await dropSlots();
  });

  it('goes on without a gap when the slot was dropped and the log is still there', async () => {
    const archive = await archiveSome();
    await dropSlots();
    await source.fill(100);
    const run = await source.follow(archive);
    await run.catchUp();
    await run.stop();
    expect(await source.slotLsn(archive.slot)).not.toBeNull();
    await dropSlots();
  });

  it('makes a slot anew that is dropped while it follows', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive);
    await run.catchUp();
    await dropSlots();
    expect(await source.slotLsn(archive.slot)).toBeNull();
    await source.fill(1_000);
    await run.catchUp();
    await until(async () => (await source.slotLsn(archive.slot)) !== null, 'the slot to be there again');
    await run.stop();
    expectUnbroken(run.chunks);
    await dropSlots();
  });

  it('finds a gap, and a slot to make anew, after the hard limit of the server was exceeded', async () => {
    const archive = await archiveSome();
    await server.query("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'");
    await server.query('SELECT pg_reload_conf()');
    await turnOver();
    const [slot] = await server.query<{ wal_status: string }>(
      `SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${archive.slot}'`,
    );
    expect(slot?.wal_status).toBe('lost');
    const setup = await configureArchive(source.connection(), context(), archive);
    expect(setup.findings.map((finding) => finding.code)).toEqual(['slot_recreated']);
    const run = await source.follow(archive);
    const stored = run.position();
    const failure = await gapOf(run);
    expect(failure.details.gap).toEqual({ from: stored, to: setup.position });
    await dropSlots();
  });
});

describeEngine('pg17', 'the log archive of PostgreSQL over a bad network', () => {
  const source = useSource('pg17', { wal_keep_size: '1GB' });

  it('survives cuts, refusals and silence', async () => {
    const proxy = await startTcpProxy(() => source.server.port);
    try {
      const archive = source.newArchive();
      await configureArchive(source.connection(proxy.port), source.context(), archive);
      const run = await source.follow(archive, { port: proxy.port });
      await source.fill(30_000);
      proxy.cut();
      await source.fill(30_000);
      await run.catchUp();
      proxy.refuse();
      await source.fill(30_000);
      await until(() => !run.follower.state().connected, 'the follower to notice');
      proxy.heal();
      await run.catchUp();
      proxy.stall();
      await source.fill(30_000);
      await until(() => !run.follower.state().connected, 'the follower to notice silence', 60_000);
      proxy.heal();
      await run.catchUp();
      await run.stop();
      expectUnbroken(run.chunks);
      expect(compareWithServer(source.server, archive.dir, run.files())).toBe(run.files().length);
    } finally {
      await proxy.close();
    }
  });
});

// Copies and servers that start and recover: on a busy machine more than the usual two minutes.
for (const product of ['pg17', 'pg18'] as const)
  describeEngine(product, `the log archive of ${product} and its standby`, () => {
    vi.setConfig({ testTimeout: 240_000 });
    const source = useSource(product, { wal_keep_size: '1GB' });
    const copies: PostgresCopy[] = [];
    afterAll(async () => {
      for (const copy of copies) await copy.remove();
    });
    const copy = async (standby: boolean): Promise<PostgresCopy> => {
      const made = await copyPostgres(source.server, { standby });
      copies.push(made);
      return made;
    };
    const replayed = async (standby: PostgresCopy) => {
      const [end] = await source.server.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn');
      await until(async () => {
        const [row] = await standby.query<{ done: boolean }>(
          `SELECT pg_last_wal_replay_lsn() >= '${end?.lsn}'::pg_lsn AS done`,
        );
        return row?.done;
      }, 'the standby to catch up');
    };

    it('goes on at the promoted standby, and a recovery from the files reaches its last commit', async () => {
      await source.server.query('TRUNCATE written');
      const archive = source.newArchive();
      await configureArchive(source.connection(), source.context(), archive);
      const base = await copy(false);
      const standby = await copy(true);
      await standby.start();
      const first = await source.follow(archive);
      await source.fill(50_000);
      await first.catchUp();
      await replayed(standby);
      await configureArchive(source.connection(standby.port), source.context(), archive);
      const primaryEnd = await readLogEnd(source.connection(), source.context());
      const standbyEnd = await readLogEnd(source.connection(standby.port), source.context());
      expect(standbyEnd.server.identity).toBe(primaryEnd.server.identity);
      expect(standbyEnd.clock <= new Date().toISOString()).toBe(true);
      await first.stop();

      // Followed from the standby while it is one.
      const second = await source.follow(archive, { port: standby.port });
      await source.fill(10);
      await replayed(standby);
      await until(
        () => parseLsn(second.position()?.lsn ?? '0/0') >= parseLsn(standbyEnd.position.lsn ?? 'F/0'),
        'the standby to be followed',
      );

      await source.server.kill();
      await standby.query('SELECT pg_promote()');
      await standby.query('INSERT INTO written VALUES (4711)');
      const rows = await standby.query<{ n: string }>('SELECT count(*)::text AS n FROM written');
      await until(() => second.position()?.timeline === 2, 'the new timeline to be followed');
      await until(
        async () => {
          const end = await readLogEnd(source.connection(standby.port), source.context());
          expect(end.position.timeline).toBe(2);
          return parseLsn(second.position()?.lsn ?? '0/0') >= parseLsn(end.position.lsn ?? 'F/0');
        },
        'the log of the new timeline',
        90_000,
      );
      await second.stop();
      expectUnbroken([...first.chunks, ...second.chunks]);
      const names = second.files().map((file) => file.name);
      const history = names.indexOf('00000002.history');
      expect(history).toBeGreaterThan(0);
      expect(names[history + 1]?.slice(8)).toBe(names[history - 1]?.slice(8));

      const log = logFolderFor(
        base,
        names.map((name) => ({ name, content: readFileSync(join(archive.dir, name)) })),
      );
      await base.recover(log);
      expect(await base.query('SELECT count(*)::text AS n FROM written'), base.said()).toEqual(rows);
    });

    it('takes commits that the promoted standby never got for a gap', async () => {
      await source.server.restart();
      const standby = await copy(true);
      await standby.start();
      await replayed(standby);
      // From here on the standby gets nothing any more.
      await standby.kill();
      const archive = source.newArchive();
      await configureArchive(source.connection(), source.context(), archive);
      const run = await source.follow(archive);
      await source.fill(100);
      await run.catchUp();
      await run.stop();
      await source.server.kill();
      await standby.start();
      await standby.query('SELECT pg_promote()');
      const later = await source.follow(archive, { port: standby.port });
      const failure = await gapOf(later);
      expect(failure.details.gap?.from).toEqual(run.position());
      expect(failure.details.gap?.to?.timeline).toBe(2);
      await source.server.restart();
    });

    it('goes on when the standby was promoted exactly at the end of a segment', async () => {
      const archive = source.newArchive();
      await configureArchive(source.connection(), source.context(), archive);
      const run = await source.follow(archive);
      const standby = await copy(true);
      await standby.start();
      await source.server.query('SELECT pg_switch_wal()');
      await replayed(standby);
      await run.catchUp();
      await run.stop();
      await source.server.kill();
      await configureArchive(source.connection(standby.port), source.context(), archive);
      await standby.query('SELECT pg_promote()');
      await standby.query('INSERT INTO written VALUES (1)');
      const later = await source.follow(archive, { port: standby.port });
      await later.catchUp();
      await later.stop();
      expectUnbroken([...run.chunks, ...later.chunks]);
      expect(later.files().map((file) => file.name)).toContain('00000002.history');
      await source.server.restart();
    });
  });
