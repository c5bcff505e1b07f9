import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ownEnvironment } from '../../src/config.js';
import { applyIncremental } from '../../src/engines/postgres/chain/apply-incremental.js';
import { refuseLinks } from '../../src/engines/postgres/chain/build-data.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';

const signal = new AbortController().signal;
const BLOCK = 8192;

/** Every file below a folder; a manifest belongs to what was combined with it. */
const filesOf = (dir: string) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'backup_manifest')
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();

const foldersOf = (dir: string) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();

for (const product of ['pg17', 'pg18'] as const)
  describeEngine(product, `incrementals of ${product}, put into their full in place`, () => {
    const server = usePrivateEngine(product, { settings: { summarize_wal: 'on', autovacuum: 'off' } });
    const root = mkdtempSync(join(tmpdir(), 'tm-apply-'));
    const database = uniqueName();
    const backups: string[] = [];
    afterAll(() => rmSync(root, { recursive: true, force: true }));

    const program = (name: string, args: string[]) =>
      execFileSync(join(engineBinDir(product, engineRoot(product, ownEnvironment()) ?? ''), name), args, {
        env: { ...process.env, PGPASSWORD: server.adminPassword },
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    const takeBackup = () => {
      const dir = join(root, `backup-${backups.length}`);
      const parent = backups.at(-1);
      program('pg_basebackup', [
        ...['-h', server.host, '-p', String(server.port), '-U', server.adminUser, '-D', dir, '--checkpoint=fast'],
        ...(parent === undefined ? [] : [`--incremental=${join(parent, 'backup_manifest')}`]),
      ]);
      backups.push(dir);
    };
    /** What the backups up to `count` make together, each way; the backups themselves stay. */
    const combine = async (count: number) => {
      const some = backups.slice(0, count);
      const expected = mkdtempSync(join(root, 'expected-'));
      program('pg_combinebackup', [...some, '-o', join(expected, 'data'), '--no-sync']);
      const work = mkdtempSync(join(root, 'work-'));
      for (const [index, dir] of some.entries()) cpSync(dir, join(work, String(index)), { recursive: true });
      const dir = join(work, '0');
      for (let index = 1; index < count; index += 1)
        await applyIncremental({
          ...{ dir, incremental: join(work, String(index)), blockBytes: BLOCK, user: undefined, signal },
        });
      return { made: dir, expected: join(expected, 'data'), left: readdirSync(work) };
    };

    beforeAll(async () => {
      const run = (sql: string) => server.query(sql, database);
      await server.query(`CREATE DATABASE ${database}`);
      for (const table of ['changed', 'shrunk', 'emptied', 'dropped', 'rewritten', 'quiet', 'regrown'])
        await run(`CREATE TABLE ${table} AS SELECT i, repeat('x', 500) AS text FROM generate_series(1, 4000) i`);
      await run('CREATE INDEX ON changed (i)');
      await run('CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS i');
      takeBackup();
      await run('UPDATE changed SET text = md5(text) WHERE i % 700 = 0');
      await run('DELETE FROM shrunk WHERE i > 1000');
      await run('DELETE FROM regrown WHERE i > 100');
      await run('VACUUM shrunk, regrown');
      await run('TRUNCATE emptied');
      await run('DROP TABLE dropped');
      await run('VACUUM FULL rewritten');
      await run('CREATE TABLE added AS SELECT i FROM generate_series(1, 1000) i');
      await server.query(`CREATE DATABASE ${database}_two`);
      takeBackup();
      await run("INSERT INTO regrown SELECT i, repeat('y', 500) FROM generate_series(1, 8000) i");
      await run('DELETE FROM shrunk WHERE i > 10');
      await run('VACUUM shrunk');
      await run('DROP TABLE added');
      await run('UPDATE changed SET text = md5(text) WHERE i % 350 = 0');
      await server.query(`DROP DATABASE ${database}_two`);
      takeBackup();
    }, 180_000);

    it.each([2, 3])('are byte by byte what pg_combinebackup makes of %i backups', async (count) => {
      const { made, expected, left } = await combine(count);
      expect(filesOf(made)).toEqual(filesOf(expected));
      expect(foldersOf(made)).toEqual(foldersOf(expected));
      const differing = filesOf(expected).filter(
        (name) => !readFileSync(join(made, name)).equals(readFileSync(join(expected, name))),
      );
      expect(differing).toEqual([]);
      expect(left).toEqual(['0']);
      // The trial is one of changed blocks, not of whole files only.
      const changes = filesOf(backups[count - 1] ?? '').filter((name) => name.includes('INCREMENTAL.'));
      expect(changes.length).toBeGreaterThan(20);
    });

    it('are refused when the backup before them is another one', async () => {
      const [full = '', , second = ''] = backups;
      const work = mkdtempSync(join(root, 'work-'));
      cpSync(full, join(work, '0'), { recursive: true });
      cpSync(second, join(work, '2'), { recursive: true });
      const apply = applyIncremental({
        ...{ dir: join(work, '0'), incremental: join(work, '2'), blockBytes: BLOCK, user: undefined, signal },
      });
      await expect(apply).rejects.toMatchObject({
        code: 'sandbox_failed',
        message: expect.stringMatching(/built on a backup that began at \S+ on timeline 1; the one before it began at/),
      });
    });

    it('are refused by name when a file is cut, has no predecessor, or is none of changed blocks', async () => {
      const [full = '', first = ''] = backups;
      const name = filesOf(first).find((one) => one.includes('INCREMENTAL.')) ?? '';
      const trial = async (spoil: (full: string, first: string) => void) => {
        const work = mkdtempSync(join(root, 'work-'));
        const [dir, incremental] = [join(work, '0'), join(work, '1')];
        cpSync(full, dir, { recursive: true });
        cpSync(first, incremental, { recursive: true });
        spoil(dir, incremental);
        return await applyIncremental({ dir, incremental, blockBytes: BLOCK, user: undefined, signal }).catch(
          (error: unknown) => error,
        );
      };
      const cut = await trial((_, incremental) =>
        writeFileSync(join(incremental, name), readFileSync(join(first, name)).subarray(0, -1)),
      );
      expect(cut).toMatchObject({ code: 'sandbox_failed', details: { object: expect.stringContaining(name) } });
      const orphan = await trial((dir) => rmSync(join(dir, name.replace('INCREMENTAL.', ''))));
      expect(orphan).toMatchObject({ message: expect.stringContaining('the backup before it does not hold') });
      const other = await trial((_, incremental) => writeFileSync(join(incremental, name), Buffer.alloc(20)));
      expect(other).toMatchObject({ message: expect.stringContaining('does not begin as one of changed blocks') });
    });

    it('are not looked at when a link lies among their files', async () => {
      const work = mkdtempSync(join(root, 'work-'));
      cpSync(backups[0] ?? '', join(work, '0'), { recursive: true });
      await refuseLinks(join(work, '0'));
      symlinkSync('/etc/hostname', join(work, '0/base/hostname'));
      await expect(refuseLinks(join(work, '0'))).rejects.toMatchObject({
        message: expect.stringContaining('base/hostname of the backup is neither a file nor a folder'),
      });
    });
  });
