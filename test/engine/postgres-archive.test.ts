import { createHash } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, it } from 'vitest';
import { compareLogPositions } from '../../src/domain/compare-positions.js';
import { isTidemarkError, TidemarkError } from '../../src/domain/errors.js';
import { configureArchive } from '../../src/engines/postgres/archive/configure-archive.js';
import { openFollower } from '../../src/engines/postgres/archive/open-follower.js';
import { releaseArchive } from '../../src/engines/postgres/archive/release-archive.js';
import { parseLsn } from '../../src/engines/postgres/archive/wal-names.js';
import { expectUnbroken } from '../support/archive-places.js';
import { resumeFrom } from '../support/archive-to-folder.js';
import { describeEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { expectCode } from './contract.js';
import { compareWithServer, useSource } from './postgres-archive-source.js';

for (const product of ['pg15', 'pg17', 'pg18'] as const)
  describeEngine(product, `the log archive of ${product}`, () => {
    const source = useSource(product, { wal_keep_size: '1GB' });

    it('holds the same bytes as the server, up to the end of its log, with the REPLICATION attribute alone', async () => {
      const { server, context } = source;
      const connection = source.connection();
      const archive = source.newArchive();
      const setup = await configureArchive(connection, context(), archive);
      expect(await configureArchive(connection, context(), archive)).toEqual(setup);
      expect(setup.findings.map((finding) => finding.code)).toContain('slot_limit_unset');
      await source.fill(100_000);
      const run = await source.follow(archive);
      await source.fill(100_000);
      await server.query('SELECT pg_switch_wal()');
      await source.fill(10);
      await run.catchUp();
      expect(run.follower.state()).toEqual({ connected: true, message: null, outOfSpace: false });
      await run.stop();
      expect(compareLogPositions(run.chunks[0]?.start ?? {}, setup.position)).toBeLessThanOrEqual(0);
      expectUnbroken(run.chunks);
      expect(run.files().length).toBeGreaterThan(3);
      expect(compareWithServer(server, archive.dir, run.files())).toBe(run.files().length);
      // What was shipped does not stay in the spool.
      expect(readdirSync(archive.spoolDir).length).toBeLessThan(4);

      await releaseArchive(connection, context(), archive);
      await releaseArchive(connection, context(), archive);
      expect(await server.query('SELECT 1 FROM pg_replication_slots')).toEqual([]);
    });
  });

describeEngine('pg17', 'the log archive of PostgreSQL', () => {
  const source = useSource('pg17', { wal_keep_size: '1GB' });
  const { server, context } = source;
  it('loses nothing when the sender is killed again and again under 200 commits', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive);
    await until(() => run.follower.state().connected, 'the receiver to connect');
    const client = new pg.Client({
      host: server.host,
      port: server.port,
      user: server.adminUser,
      password: server.adminPassword,
      database: 'postgres',
    });
    await client.connect();
    let kills = 0;
    for (let commit = 1; commit <= 200; commit += 1) {
      await client.query(`INSERT INTO written SELECT ${commit}, repeat('y', 3000) FROM generate_series(1, 60)`);
      if (commit % 40 !== 0) continue;
      // It may just be connecting again.
      await until(async () => {
        const cut = await source.cutReceivers();
        kills += cut;
        return cut > 0;
      }, 'a sender to kill');
    }
    await client.end();
    await run.catchUp();
    await run.stop();
    expect(kills).toBeGreaterThanOrEqual(5);
    expectUnbroken(run.chunks);
    expect(compareWithServer(server, archive.dir, run.files())).toBe(run.files().length);
  });

  it('goes on without a hole when the spool was lost with its worker', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const first = await source.follow(archive);
    await source.fill(60_000);
    await first.catchUp();
    await source.fill(20_000);
    await first.stop();
    const acknowledged = parseLsn((await source.slotLsn(archive.slot)) ?? '0/0');
    expect(acknowledged).toBeLessThanOrEqual(parseLsn(first.position()?.lsn ?? '0/0'));
    rmSync(archive.spoolDir, { recursive: true, force: true });
    await source.fill(100_000);
    const second = await source.follow(archive);
    await second.catchUp();
    await second.stop();
    expect(second.chunks[0]?.start).toEqual(first.chunks.at(-1)?.end);
    expectUnbroken(second.chunks);
    expect(compareWithServer(server, archive.dir, second.files())).toBe(second.files().length);
  });

  it('uses what an earlier run left in the spool', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const first = await source.follow(archive);
    await first.catchUp();
    await first.stop();
    // A run that receives and whose worker dies before it ships anything.
    const follower = await openFollower(source.connection(), context(), {
      ...archive,
      spoolLimitBytes: 1024 ** 3,
      resume: resumeFrom(archive.dir),
    });
    await source.fill(200_000);
    await until(
      () => readdirSync(archive.spoolDir).filter((name) => !name.includes('.')).length > 2,
      'segments in the spool',
    );
    await follower.close();
    const before = readdirSync(archive.spoolDir).length;
    const second = await source.follow(archive);
    expect(readdirSync(archive.spoolDir).length).toBeGreaterThanOrEqual(before);
    await second.catchUp();
    await second.stop();
    expectUnbroken(second.chunks);
    expect(compareWithServer(server, archive.dir, second.files())).toBe(second.files().length);
  });

  it('survives a crash and a restart of the source', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive);
    await source.fill(20_000);
    await run.catchUp();
    await server.kill();
    await until(() => !run.follower.state().connected, 'the follower to notice');
    expect(run.follower.state().message).toMatch(/\S/);
    await server.restart();
    await source.fill(20_000);
    await run.catchUp();
    await server.restart();
    await source.fill(20_000);
    await run.catchUp();
    await run.stop();
    expect(run.failure()).toBeNull();
    expectUnbroken(run.chunks);
    expect(compareWithServer(server, archive.dir, run.files())).toBe(run.files().length);
  });

  it('tells the source nothing before a chunk is acknowledged', async () => {
    const archive = source.newArchive();
    const { position } = await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive, { acknowledge: false });
    await source.fill(100_000);
    await run.catchUp();
    await sleep(2_500);
    expect(await source.slotLsn(archive.slot)).toBe(position.lsn);
    const last = run.chunks.at(-1);
    if (!last) throw new Error('nothing was followed');
    await run.follower.acknowledge({ ...last, body: Buffer.alloc(0) });
    expect(await source.slotLsn(archive.slot)).toBe(last.end.lsn);
    await run.stop();
  });

  it('has a log end that moves on an idle source, and that it reaches', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive);
    const first = await run.catchUp();
    await sleep(1_100);
    const second = await run.catchUp();
    expect(Date.parse(second.clock) - Date.parse(first.clock)).toBeGreaterThan(1_000);
    await run.stop();
  });

  it('stops receiving when the spool is full, says so, and goes on when it was shipped', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const spoolLimitBytes = 128 * 1024 * 1024;
    const follower = await openFollower(source.connection(), context(), { ...archive, spoolLimitBytes, resume: null });
    const spooled = () => readdirSync(archive.spoolDir).length * 16 * 1024 * 1024;
    await source.fill(500_000);
    await until(() => /spool holds/.test(follower.state().message ?? ''), 'the spool to be full', 60_000);
    expect(follower.state().connected).toBe(false);
    expect(spooled()).toBeLessThanOrEqual(spoolLimitBytes);
    await follower.close();
    const run = await source.follow(archive, { spoolLimitBytes });
    await run.catchUp();
    expect(spooled()).toBeLessThanOrEqual(spoolLimitBytes);
    await run.stop();
    expect(compareWithServer(server, archive.dir, run.files())).toBe(run.files().length);
  });

  it('refuses another cluster under the same address', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive);
    await run.catchUp();
    await run.stop();
    const resume = resumeFrom(archive.dir);
    if (!resume) throw new Error('nothing was followed');
    await expectCode(
      openFollower(source.connection(), context(), {
        ...archive,
        spoolLimitBytes: 1024 ** 3,
        resume: { ...resume, server: { ...resume.server, identity: 'pg:1' } },
      }),
      'server_identity_changed',
    );
  });

  it('takes a source whose log differs from the stored one for a gap', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    const run = await source.follow(archive);
    await run.catchUp();
    await run.stop();
    const resume = resumeFrom(archive.dir);
    if (!resume) throw new Error('nothing was followed');
    await source.fill(10);
    const follower = await openFollower(source.connection(), context(), {
      ...archive,
      spoolLimitBytes: 1024 ** 3,
      resume: { ...resume, prefixSha256: createHash('sha256').update('another log').digest('hex') },
    });
    const next = follower.next({ waitMs: 30_000, signal: new AbortController().signal });
    expect(await expectCode(next, 'log_gap')).toContain(resume.position.lsn);
    await follower.close();
  });

  it('names the statement for a role without the REPLICATION attribute', async () => {
    await server.query("CREATE ROLE plain LOGIN PASSWORD 'p'");
    const archive = source.newArchive();
    const message = await expectCode(
      configureArchive({ ...source.connection(), username: 'plain', password: 'p' }, context(), archive),
      'privilege_missing',
    );
    expect(message).toContain('ALTER ROLE "plain" REPLICATION;');
  });

  it('makes no slot anew that was released while a follower was cut off', async () => {
    const archive = source.newArchive();
    await configureArchive(source.connection(), context(), archive);
    let released = false;
    const follower = await openFollower(source.connection(), context(), {
      ...archive,
      spoolLimitBytes: 1024 ** 3,
      resume: null,
      assertMayHold: async () => {
        if (released) throw new TidemarkError('fenced', 'Another follower has taken over.');
      },
    });
    const signal = new AbortController().signal;
    const next = async () => await follower.next({ waitMs: 100, signal });
    let chunk = await next();
    await until(async () => {
      chunk ??= await next();
      return chunk !== null;
    }, 'the first chunk');
    released = true;
    await releaseArchive(source.connection(), context(), archive);
    // The chunk in hand is stored meanwhile.
    if (chunk === null) throw new Error('nothing was followed');
    await follower.acknowledge(chunk);
    const isFenced = async () => {
      try {
        await next();
        return false;
      } catch (error) {
        return isTidemarkError(error) && error.code === 'fenced';
      }
    };
    await until(isFenced, 'the follower to be fenced', 30_000);
    await follower.close();
    const slots = await server.query(
      `SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE '${archive.slot}%'`,
    );
    expect(slots).toEqual([]);
  });

  it('releases a slot that somebody streams from, and the one that an earlier version received by', async () => {
    const archive = source.newArchive();
    const { position } = await configureArchive(source.connection(), context(), archive);
    await server.query(`SELECT pg_create_physical_replication_slot('${archive.slot}_rcv', true)`);
    const { host, port, username: user, password } = source.connection();
    const options = { host, port, user, password, database: 'postgres', replication: 'true' };
    const client = new pg.Client(options);
    client.on('error', () => {});
    await client.connect();
    const streamed = client
      .query(`START_REPLICATION SLOT ${archive.slot} PHYSICAL ${position.lsn}`)
      .catch(() => 'ended');
    const isUsed = () =>
      server.query(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${archive.slot}' AND active`);
    await until(async () => (await isUsed()).length === 1, 'the slot to be streamed from');
    await releaseArchive(source.connection(), context(), archive);
    expect(await source.slotLsn(archive.slot)).toBeNull();
    expect(await source.slotLsn(`${archive.slot}_rcv`)).toBeNull();
    expect(await streamed).toBe('ended');
    await releaseArchive(source.connection(), context(), archive);
  });
});
