import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createConnection } from 'mysql2/promise';
import { expect, it } from 'vitest';
import { isTidemarkError } from '../../src/domain/errors.js';
import { expectUnbroken } from '../support/archive-places.js';
import { resumeFrom } from '../support/archive-to-folder.js';
import { compareBinlogs } from '../support/compare-binlogs.js';
import { describeEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { expectCode } from './contract-support.js';
import { receivers, useSource } from './mysql-family-archive-source.js';
import { familyProducts, takeFamilyFull, transactionsOf } from './mysql-family-chain-support.js';
import { printOf, useSandboxes } from './postgres-chain-support.js';

for (const product of familyProducts) {
  describeEngine(product, `the log archive of ${product}`, () => {
    const source = useSource(product);
    const { server, context, engine } = source;
    const sandboxes = useSandboxes(context);
    const spooled = (dir: string) =>
      readdirSync(dir).flatMap((run) => (run.startsWith('run-') ? readdirSync(join(dir, run)) : []));

    it('holds the same bytes as the server, over rotations, by a role that may only replicate', async () => {
      const archive = source.newArchive();
      const setup = await engine.configureArchive(source.connection(), context(), archive);
      expect(setup.findings.filter(({ severity }) => severity === 'refuses')).toEqual([]);
      await source.fill(200);
      const run = await source.follow(archive);
      await source.fill(200);
      await source.rotate();
      // More than one chunk carries: two events of one transaction, and where the server takes it, one event.
      const large = "INSERT INTO shop.written (n, filling) VALUES (2, REPEAT('z', 10000000))";
      await server.query(`START TRANSACTION; ${large}; ${large}; COMMIT`);
      if (product === 'mysql') await source.fill(1, 20_000_000);
      await source.fill(10);
      await source.rotate();
      await source.fill(10);
      await run.catchUp();
      expect(run.follower.state()).toEqual({ connected: true, message: null, outOfSpace: false });
      await run.stop();
      expect(engine.comparePositions(run.chunks[0]?.start ?? {}, setup.position)).toBeLessThanOrEqual(0);
      expectUnbroken(run.chunks);
      expect(run.chunks.filter(({ endsFile }) => endsFile)).toHaveLength(2);
      for (const { firstCommitAt, lastCommitAt } of run.chunks)
        expect((firstCommitAt ?? '') <= (lastCommitAt ?? '')).toBe(true);
      expect(run.files()).toHaveLength(3);
      expect(compareBinlogs(server, archive.dir, run.files())).toBe(3);
      // What was shipped does not stay in the spool.
      expect(spooled(archive.spoolDir)).toHaveLength(1);
      await engine.releaseArchive(source.connection(), context(), archive);
    });

    it('names in each position exactly the transactions before it', async () => {
      const archive = source.newArchive();
      const run = await source.follow(archive);
      await source.fill(5);
      await run.catchUp();
      await run.stop();
      const gtids = product === 'mysql' ? '@@global.gtid_executed' : '@@global.gtid_binlog_pos';
      const [row] = await server.query<{ now: string }>(`SELECT ${gtids} AS now`);
      expect(run.position()?.gtidSet).toBe(row?.now.replaceAll('\n', ''));
    });

    it('loses nothing when the receiver is killed again and again under 200 commits', async () => {
      const archive = source.newArchive();
      const run = await source.follow(archive);
      await until(() => run.follower.state().connected, 'the receiver to connect');
      const client = await createConnection({
        host: server.host,
        port: server.port,
        user: server.adminUser,
        password: server.adminPassword,
      });
      let kills = 0;
      for (let commit = 1; commit <= 200; commit += 1) {
        await client.query(`INSERT INTO shop.written (n, filling) VALUES (${commit}, REPEAT('y', 100000))`);
        if (commit % 90 === 0) await client.query('FLUSH BINARY LOGS');
        if (commit % 40 !== 0) continue;
        for (const pid of receivers(archive.spoolDir)) {
          process.kill(pid, 'SIGKILL');
          kills += 1;
        }
        await sleep(500);
      }
      await client.end();
      await run.catchUp();
      await run.stop();
      expect(kills).toBeGreaterThan(2);
      expectUnbroken(run.chunks);
      expect(compareBinlogs(server, archive.dir, run.files())).toBe(run.files().length);
    });

    it('goes on without a hole when the spool was lost with its worker, and when the server was restarted or crashed', async () => {
      const archive = source.newArchive();
      const first = await source.follow(archive);
      await source.fill(50);
      await first.catchUp();
      await first.stop();
      rmSync(archive.spoolDir, { recursive: true, force: true });
      await source.fill(50);
      const second = await source.follow(archive);
      await second.catchUp();
      await server.restart();
      await source.fill(50);
      await second.catchUp();
      await server.kill();
      await until(() => !second.follower.state().connected, 'the follower to notice');
      expect(second.follower.state().message).toMatch(/\S/);
      await server.restart();
      await source.fill(50);
      await second.catchUp();
      await second.stop();
      expect(second.failure()).toBeNull();
      expectUnbroken([...first.chunks, ...second.chunks]);
      expect(compareBinlogs(server, archive.dir, second.files())).toBe(second.files().length);
    });

    it('has a log end that moves on an idle source, and that it reaches', async () => {
      const archive = source.newArchive();
      const run = await source.follow(archive);
      const first = await run.catchUp();
      await sleep(1_100);
      const second = await run.catchUp();
      expect(Date.parse(second.clock) - Date.parse(first.clock)).toBeGreaterThan(1_000);
      await source.rotate();
      await run.catchUp();
      await run.stop();
    });

    it('stores what the spool still holds although the server has removed it meanwhile', async () => {
      const archive = source.newArchive();
      const first = await source.follow(archive);
      await first.catchUp();
      await first.stop();
      // A run that receives and whose worker dies before it ships anything.
      const follower = await engine.openFollower(source.connection(), context(), {
        ...archive,
        spoolLimitBytes: 1024 ** 3,
        resume: resumeFrom(archive.dir),
      });
      await source.fill(30);
      await source.rotate();
      await source.fill(30);
      // The file before is whole then: they are received one after the other. How many lie there says nothing, each run has its own folder.
      const newest = source.newestFile();
      await until(() => spooled(archive.spoolDir).includes(newest), 'the newest file in the spool');
      await follower.close();
      await source.purge();
      const second = await source.follow(archive);
      await second.catchUp();
      await second.stop();
      expect(second.files()).toHaveLength(2);
      expectUnbroken([...first.chunks, ...second.chunks]);
    });

    it('stops receiving when the spool is full, says so, and goes on when it was shipped', async () => {
      const archive = source.newArchive();
      const spoolLimitBytes = 16 * 1024 * 1024;
      const run = await source.follow(archive);
      await run.catchUp();
      await run.stop();
      const resume = resumeFrom(archive.dir);
      const follower = await engine.openFollower(source.connection(), context(), {
        ...archive,
        spoolLimitBytes,
        resume,
      });
      for (let file = 0; file < 6; file += 1) {
        await source.fill(4, 1_000_000);
        await source.rotate();
      }
      await until(() => /spool holds/.test(follower.state().message ?? ''), 'the spool to be full', 60_000);
      expect(follower.state().connected).toBe(false);
      await follower.close();
      const later = await source.follow(archive, { spoolLimitBytes });
      await later.catchUp();
      await later.stop();
      expectUnbroken([...run.chunks, ...later.chunks]);
      expect(compareBinlogs(server, archive.dir, later.files())).toBe(later.files().length);
    });

    it('is enough to recover exactly to a commit', async () => {
      const archive = source.newArchive();
      const run = await source.follow(archive);
      const full = await takeFamilyFull(server, context());
      await source.fill(20);
      await source.rotate();
      await source.fill(20);
      const [row] = await server.query<{ n: number }>('SELECT COUNT(*) AS n FROM shop.written');
      const { position: logEnd } = await run.catchUp();
      await source.fill(20);
      await run.catchUp();
      await run.stop();
      const logFiles = run.files();
      const all = await transactionsOf(product, { logDir: archive.dir, logFiles, logEnd });
      const wanted = all.filter(
        ({ file, end }) => engine.comparePositions({ file, filePosition: String(end) }, logEnd) <= 0,
      );
      const sandbox = await sandboxes.open([full], {
        logDir: archive.dir,
        logFiles,
        logEnd: run.position(),
        target: { kind: 'position', position: wanted.at(-1)?.gtid ?? '', before: false },
      });
      const print = await printOf({ ...sandbox.connection, database: 'shop' }, context());
      expect(JSON.stringify(print)).toContain(`"rows":"${row?.n}"`);
      expect(sandbox.lastApplied?.position).toBe(wanted.at(-1)?.gtid);
      await sandbox.close();
    });

    it('refuses another server under the same address', async () => {
      const archive = source.newArchive();
      const run = await source.follow(archive);
      await run.catchUp();
      await run.stop();
      const resume = resumeFrom(archive.dir);
      if (!resume) throw new Error('nothing was followed');
      await expectCode(
        engine.openFollower(source.connection(), context(), {
          ...archive,
          spoolLimitBytes: 1024 ** 3,
          resume: { ...resume, server: { ...resume.server, identity: 'mysql:another' } },
        }),
        'server_identity_changed',
      );
    });

    const gapOf = async (run: Awaited<ReturnType<typeof source.follow>>) => {
      await until(() => run.failure() !== null, 'the gap to be found', 60_000);
      const failure = run.failure();
      await run.stop();
      if (!isTidemarkError(failure)) throw failure;
      expect(failure.code).toBe('log_gap');
      return failure;
    };

    it('finds that the server removed its log while nobody followed, and names the range', async () => {
      const archive = source.newArchive();
      const run = await source.follow(archive);
      await source.fill(5);
      await run.catchUp();
      await run.stop();
      await source.fill(7);
      await source.rotate();
      await source.fill(3);
      const newest = await source.purge();
      rmSync(archive.spoolDir, { recursive: true, force: true });
      const failure = await gapOf(await source.follow(archive));
      expect(failure.details.gap?.from).toEqual(run.position());
      expect(failure.details.gap?.to).toMatchObject({ file: newest, filePosition: '4', gtidSet: expect.any(String) });
      expect(failure.message).toContain(String(newest));
      if (product === 'mysql') expect(failure.message).toMatch(/Lost: [0-9a-f-]+:\d+-\d+\./);
    });

    it.each(['away', 'there'])('takes a log that was begun anew while it was %s for a gap', async (where) => {
      const archive = source.newArchive();
      const run = await source.follow(archive);
      await source.fill(20);
      await run.catchUp();
      if (where === 'away') await run.stop();
      await server.query(product === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');
      await source.fill(1);
      const failure = await gapOf(where === 'away' ? await source.follow(archive) : run);
      expect(failure.details.gap?.from).toEqual(run.position());
      const fresh = source.newArchive();
      const next = await source.follow(fresh);
      await next.catchUp();
      await next.stop();
      expect(compareBinlogs(server, fresh.dir, next.files())).toBe(next.files().length);
    });
  });
}
