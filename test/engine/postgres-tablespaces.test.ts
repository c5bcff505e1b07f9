/** Clusters with tablespaces: backed up as one stream, recovered without touching the places where the source keeps them. */
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import type { Sandbox } from '../../src/engines/chain-engine.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import { inspectServer } from '../../src/engines/postgres/chain/inspect-server.js';
import { mapTablespaces } from '../../src/engines/postgres/chain/map-tablespaces.js';
import { connect } from '../../src/engines/postgres/connect.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import { findFreePort } from '../../src/platform/ports.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { connectionTo, useContext } from './contract-support.js';
import type { TakenBackup } from './postgres-chain-support.js';
import { printOf, takeFull, takeIncremental, useReceiver, useSandboxes } from './postgres-chain-support.js';

const SEGMENT = 16 * 1024 * 1024;

for (const product of ['pg15', 'pg17', 'pg18'] as const)
  describeEngine(product, `a cluster of ${product} with tablespaces`, () => {
    // Autovacuum would add files in the middle of a comparison.
    const server = usePrivateEngine(product, { settings: { autovacuum: 'off' } });
    const receiver = useReceiver(server);
    const context = useContext();
    const sandboxes = useSandboxes(context);
    const hasIncrementals = product !== 'pg15';
    let root = '';
    let full: TakenBackup;
    const chain: TakenBackup[] = [];

    const makePlace = (name: string) => {
      const path = join(root, name);
      mkdirSync(path, { mode: 0o700, recursive: true });
      giveTo(serverUser(), path);
      return path;
    };
    const read = async (sandbox: Sandbox, sql: string, database: string) => {
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
    /** All tablespaces of a sandbox lie in its data directory: as folders, with nothing that leads out. */
    const expectInside = async (sandbox: Sandbox, names: readonly string[]) => {
      const rows = await read(
        sandbox,
        `SELECT spcname AS name, oid::text AS oid, pg_tablespace_location(oid) AS location,
          current_setting('data_directory') AS data FROM pg_tablespace WHERE oid >= 16384 ORDER BY spcname`,
        'postgres',
      );
      expect(rows.map(({ name }) => name)).toEqual([...names].sort());
      for (const { oid, location, data } of rows) {
        expect(location).toBe(`pg_tblspc/${oid}`);
        expect(lstatSync(join(data!, location!)).isDirectory()).toBe(true);
      }
    };
    const equal = async (sandbox: Sandbox, database: string) =>
      expect(
        compareFingerprints(
          await printOf(connectionTo(server, database), context()),
          await printOf({ ...sandbox.connection, database }, context()),
        ),
      ).toEqual([]);

    beforeAll(async () => {
      root = mkdtempSync(join(tmpdir(), 'ts-'));
      giveTo(serverUser(), root);
      await receiver.start();
      await server.query(`CREATE TABLESPACE fast LOCATION '${makePlace('fast')}'`);
      await server.query(`CREATE TABLESPACE "Gro$$ 2" LOCATION '${makePlace('with space')}'`);
      await server.createDatabase({ name: 'spread' });
      await server.createDatabase({ name: 'inside', options: 'TABLESPACE fast' });
      await server.query(
        `CREATE TABLE here (id int PRIMARY KEY, t text); CREATE TABLE there (LIKE here INCLUDING ALL) TABLESPACE fast;
         CREATE TABLE other (id int PRIMARY KEY USING INDEX TABLESPACE fast, t text) TABLESPACE "Gro$$ 2";
         INSERT INTO here SELECT i, repeat('h', 100) FROM generate_series(1, 2000) i; INSERT INTO there TABLE here; INSERT INTO other TABLE here`,
        'spread',
      );
      await server.query('CREATE TABLE own AS SELECT i FROM generate_series(1, 1000) i', 'inside');
      full = await takeFull(server, context());
      chain.push(full);
      if (hasIncrementals) {
        await server.query(
          "UPDATE there SET t = 'changed' WHERE id <= 10; DELETE FROM other WHERE id > 1990",
          'spread',
        );
        chain.push(await takeIncremental(server, context(), full));
      }
    });
    afterAll(() => {
      if (root) rmSync(root, { recursive: true, force: true });
    });

    it('is found ready, and told where its tablespaces will lie', async () => {
      const found = await inspectServer(connectionTo(server, 'postgres'), context(), { pitr: true, incremental: true });
      expect(found).toMatchObject({ full: true, pitr: true, reason: null });
      const finding = found.findings.find(({ code }) => code === 'user_tablespaces');
      expect(finding?.severity).toBe('info');
      expect(finding?.message).toContain('fast, Gro$$ 2');
    });

    it('is recovered from its backups, equal to the source, with the tablespaces inside the sandbox', async () => {
      const sandbox = await sandboxes.open(chain);
      await expectInside(sandbox, ['fast', 'Gro$$ 2']);
      await equal(sandbox, 'spread');
      await equal(sandbox, 'inside');
      await sandbox.close();
    });

    it('is recovered through a log that creates, fills, moves and drops tablespaces', async () => {
      const [early] = await server.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
      await server.query(`CREATE TABLESPACE late LOCATION '${makePlace('late')}'`);
      await server.query('CREATE TABLE fresh TABLESPACE late AS SELECT i FROM generate_series(1, 3000) i', 'spread');
      await server.query('ALTER TABLE here SET TABLESPACE late', 'spread');
      await server.query('ALTER TABLE there SET TABLESPACE pg_default', 'spread');
      await server.query('ALTER DATABASE inside SET TABLESPACE late');
      await server.query(`CREATE TABLESPACE gone LOCATION '${makePlace('gone')}'`);
      await server.query('CREATE TABLE brief TABLESPACE gone AS SELECT 1 AS a', 'spread');
      await server.query('DROP TABLE brief', 'spread');
      await server.query('DROP TABLESPACE gone');
      await server.query('INSERT INTO fresh SELECT 1', 'spread');
      const log = await receiver.collect();
      const held = readdirSync(root, { recursive: true }).sort();
      const sandbox = await sandboxes.open(chain, { ...log, target: { kind: 'latest' } });
      await expectInside(sandbox, ['fast', 'Gro$$ 2', 'late']);
      await equal(sandbox, 'spread');
      await equal(sandbox, 'inside');
      await sandbox.close();
      // Not yet created at that point.
      const earlier = await sandboxes.open([full], {
        ...(await receiver.collect()),
        target: { kind: 'position', position: early!.lsn, before: true },
      });
      await expectInside(earlier, ['fast', 'Gro$$ 2']);
      expect(await read(earlier, 'SELECT count(*)::text AS n FROM there', 'spread')).toEqual([{ n: '2000' }]);
      await earlier.close();
      // Replay as it was written would have emptied these.
      expect(held.length).toBeGreaterThan(20);
      expect(readdirSync(root, { recursive: true }).sort()).toEqual(held);
    }, 300_000);

    if (product === 'pg17')
      it('is written as files that recover on a host of their own, as their README says', async () => {
        await server.query(`CREATE TABLESPACE extra LOCATION '${makePlace('extra')}'`);
        await server.query('CREATE TABLE last TABLESPACE extra AS SELECT i FROM generate_series(1, 500) i', 'spread');
        const log = await receiver.collect();
        const dir = sandboxes.folder();
        const { readme } = (await getChainEngine('postgresql').writeFiles?.(context(), {
          dir,
          server: full.server,
          backups: chain,
          ...log,
          target: { kind: 'latest' },
          onPhase: () => {},
        }))!;
        const data = join(dir, 'data');
        const [fast] = await server.query<{ oid: string }>(
          "SELECT oid::text FROM pg_tablespace WHERE spcname = 'fast'",
        );
        expect(readme).toContain(`fast: ${join(data, 'pg_tblspc', fast!.oid)}, at the source ${join(root, 'fast')}`);
        expect(readme).toContain(`at the source ${join(root, 'extra')}`);
        const moved = join(dir, 'disk');
        renameSync(join(data, 'pg_tblspc', fast!.oid), moved);
        symlinkSync(moved, join(data, 'pg_tblspc', fast!.oid));
        const user = serverUser();
        if (user) execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, dir, log.logDir]);
        const port = await findFreePort();
        const child = spawnChild({
          command: join(engineBinDir(product, engineRoot(product, loadConfig().install)!), 'postgres'),
          args: ['-D', data, '-p', String(port), '-c', `unix_socket_directories=${dir}`],
          env: { LC_ALL: 'C' },
          stdout: 'ignore',
          stopSignal: 'SIGQUIT',
          label: 'postgres',
          ...(user ? { user } : {}),
        });
        try {
          // It lets readers in before it has replayed all.
          const session = await until(
            async () => {
              const opened = await connect(
                { ...connectionTo(server, 'spread'), port },
                { signal: new AbortController().signal, applicationName: 'test' },
              ).catch(() => null);
              if (opened === null || (await opened.value('SELECT pg_is_in_recovery()')) === 'f') return opened;
              await opened.close();
              return null;
            },
            'the extracted server',
            90_000,
          );
          expect(await session.rows('SELECT count(*)::text AS n FROM last JOIN fresh USING (i)')).toEqual([
            { n: '501' },
          ]);
          expect(
            await session.rows(
              `SELECT spcname AS name, pg_tablespace_location(oid) = 'pg_tblspc/' || oid AS inside FROM pg_tablespace
               WHERE oid >= 16384 ORDER BY 2, 1`,
            ),
          ).toEqual([
            { name: 'fast', inside: 'f' },
            ...['Gro$$ 2', 'extra', 'late'].map((name) => ({ name, inside: 't' })),
          ]);
          await session.close();
        } finally {
          await child.kill();
        }
      }, 300_000);
  });

describeEngine('pg17', 'CREATE TABLESPACE in a log', () => {
  const server = usePrivateEngine('pg17');
  const receiver = useReceiver(server);

  it('is changed wherever its record lies, and the log stays one that PostgreSQL reads', async () => {
    const root = mkdtempSync(join(tmpdir(), 'ts-'));
    giveTo(serverUser(), root);
    try {
      await receiver.start();
      await server.query('CREATE EXTENSION pg_walinspect');
      const path = join(root, 'x'.repeat(240), 'y'.repeat(240), 'z'.repeat(200));
      for (const dir of [join(path, '..', '..'), join(path, '..'), path]) {
        mkdirSync(dir, { mode: 0o700 });
        giveTo(serverUser(), dir);
      }
      let crossings = 0;
      let created = 0;
      // The record is some 700 bytes long: one in a dozen goes on over the end of its page.
      while (crossings < 2 && created < 300) {
        const [from] = await server.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
        await server.query(`CREATE TABLESPACE moving LOCATION '${path}'`);
        const [record] = await server.query<{ crosses: boolean }>(
          `SELECT div(start_lsn - '0/0', 8192) <> div(end_lsn - '0/0' - 1, 8192) AS crosses
           FROM pg_get_wal_records_info('${from!.lsn}', pg_current_wal_insert_lsn()) WHERE resource_manager = 'Tablespace'`,
        );
        created++;
        if (record!.crosses) crossings++;
        await server.query('DROP TABLESPACE moving');
      }
      expect(crossings).toBe(2);
      const { logDir, logFiles, logEnd } = await receiver.collect();
      const waldump = (): string[] =>
        execFileSync(
          join(engineBinDir('pg17', engineRoot('pg17', loadConfig().install)!), 'pg_waldump'),
          ['--path', logDir, '--rmgr=Tablespace', '--end', logEnd.lsn!, logFiles[0]!.name],
          { encoding: 'utf8' },
        )
          .split('\n')
          .filter((line) => line.includes('CREATE'));
      expect(waldump().filter((line) => line.includes(path))).toHaveLength(created);
      const signal = new AbortController().signal;
      expect(await mapTablespaces([logDir], SEGMENT, signal)).toHaveLength(created);
      const after = waldump();
      expect(after).toHaveLength(created);
      for (const line of after) expect(line).toMatch(/desc: CREATE \d+ ""/);
      // Once more there is nothing to change.
      expect(await mapTablespaces([logDir], SEGMENT, signal)).toEqual([]);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});
