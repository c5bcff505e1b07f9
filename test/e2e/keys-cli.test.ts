/** `tidemark keys` as an operator uses it, on a service that runs and on one that was stopped. The tests follow each other. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startServiceProcess } from '../../scripts/lib/service-process.js';
import { loadConfig, ownEnvironment } from '../../src/config.js';
import type { BackupResource } from '../../src/domain/schemas/backups.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import { describeEngine, uniqueName, useEngine } from '../support/engine-servers.js';
import { useTidemark } from '../support/tidemark.js';

const repository = resolve(import.meta.dirname, '../..');

describeEngine('mysql', 'the keys of an installation that protects a MySQL database', () => {
  const source = useEngine('mysql');
  const tidemark = useTidemark();
  const scratch = mkdtempSync(join(tmpdir(), 'tm-keys-cli-'));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  type Said = { code: number; out: string; err: string };
  const run = (args: readonly string[], env: Readonly<Record<string, string>>): Promise<Said> =>
    new Promise((done) => {
      execFile(
        process.execPath,
        ['--import', 'tsx', join(repository, 'src/cli/main.ts'), ...args],
        { cwd: repository, env: { PATH: process.env.PATH, ...definedInstall(), ...env } },
        (error, out, err) => done({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      );
    });
  const keys = (...args: string[]) => run(['keys', ...args], { TIDEMARK_HOME: tidemark.home });
  const masterKeyFile = () => join(tidemark.home, 'master.key');

  let name: string;
  let databaseId: string;
  let planId: string;
  let keyId: string;
  let backup: BackupResource;
  const exported = join(scratch, 'key.json');

  beforeAll(async () => {
    name = await source.createDatabase();
    await source.query(
      `create table reading (id int primary key, value float, note varbinary(20));
       insert into reading values (1, 0.123456789, x'00ff27'), (2, 16777217, null), (3, 3.40282e38, x'');
       create table seen (id int)`,
      name,
    );
    // A statement of its own: the dump tool writes a trigger that was created with its semicolon into a file that no client takes.
    await source.query(
      'create trigger reading_seen after update on reading for each row insert into seen values (new.id)',
      name,
    );
    await source.query(`create event tidy on schedule every 1 year do delete from seen`, name);
    databaseId = await tidemark.registerDatabase(source, name);
    planId = await tidemark.createPlan(databaseId, await tidemark.createDestination('keys'));
    backup = await tidemark.backUp(planId);
    expect(backup.status, JSON.stringify(backup.error)).toBe('completed');
  });

  /** Everything an application could tell apart. */
  async function contentOf(database: string): Promise<unknown> {
    return {
      rows: await source.query(
        'select id, cast(value as double) as value, hex(note) as note from reading order by id',
        database,
      ),
      seen: await source.query('select * from seen', database),
      triggers: await source.query(
        `select trigger_name as name from information_schema.triggers where trigger_schema = '${database}'`,
      ),
      events: await source.query(
        `select event_name as name from information_schema.events where event_schema = '${database}'`,
      ),
    };
  }

  /** Runs a command line as a reader of our words would, who filled in database and account. */
  async function load(command: string, database: string): Promise<void> {
    const root = engineRoot('mysql', ownEnvironment());
    const bin = engineBinDir('mysql', root ?? '');
    const options = join(scratch, 'client.cnf');
    const { host, port, adminUser, adminPassword } = source;
    writeFileSync(options, `[client]\nhost=${host}\nport=${port}\nuser=${adminUser}\npassword="${adminPassword}"\n`, {
      mode: 0o600,
    });
    const line = command
      .replace('| mysql ', `| ${join(bin, 'mysql')} --defaults-file=${options} `)
      .replace('DATABASE', database);
    await new Promise<void>((done, fail) => {
      execFile('/bin/sh', ['-c', line], (error, _out, err) => (error ? fail(new Error(err)) : done()));
    });
  }

  it('are confirmed as saved, which ends the reminder', async () => {
    const me = () => tidemark.api.get<{ masterKeyConfirmedAt: string | null }>('/v1/me');
    expect((await me()).masterKeyConfirmedAt).toBeNull();
    const said = await keys('confirm');
    expect(said).toMatchObject({ code: 0, err: '', out: expect.stringContaining('saved elsewhere') });
    expect((await me()).masterKeyConfirmedAt).not.toBeNull();
  });

  it('are listed and exported into a file of their owner alone, never printed', async () => {
    const listed = await keys('list');
    expect(listed.code, listed.err).toBe(0);
    // The installation's own key is the other one.
    const ids = [...listed.out.matchAll(/^(key_\w+)/gm)].map(([, id]) => id ?? '');
    const plan = await tidemark.api.get<{ keyId?: string }>(`/v1/plans/${planId}`);
    keyId = plan.keyId ?? ids[0] ?? '';
    expect(ids).toContain(keyId);

    const said = await keys('export', keyId, '--out', exported);
    expect(said, said.err).toMatchObject({ code: 0, out: expect.stringContaining(exported) });
    expect(statSync(exported).mode & 0o777).toBe(0o600);
    const { key } = JSON.parse(readFileSync(exported, 'utf8')) as { key: string };
    expect(said.out + said.err).not.toContain(key);
    expect((await keys('list')).out).toMatch(new RegExp(`^${keyId} .*exported `, 'm'));
    const again = await keys('export', keyId, '--out', exported);
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('cannot be written') });
    const events = await tidemark.api.get<{ items: { action: string }[] }>(`/v1/audit-events?objectId=${keyId}`);
    expect(events.items.map(({ action }) => action)).toContain('key.exported');
  });

  it('give the backup back with the destination alone: all of its files, and a line that loads them', async () => {
    const { endpoint, bucket, accessKeyId, secretAccessKey } = tidemark.process.run().s3;
    const credentials = join(scratch, 's3.json');
    writeFileSync(credentials, JSON.stringify({ accessKeyId, secretAccessKey, endpoint }), { mode: 0o600 });
    const out = join(scratch, "ex'tracted");
    const args = ['extract', '--from', `s3://${bucket}/keys`, '--credentials', credentials, '--wrapping-key', exported];
    const said = await run([...args, '--backup', backup.id, '--out', out, '--fingerprint'], {
      TIDEMARK_HOME: join(scratch, 'none'),
    });
    expect(said.code, said.err).toBe(0);
    const files = ['dump.sql', 'floats.sql', 'triggers.sql', 'events.sql', 'fingerprint.json'];
    for (const file of files) expect(existsSync(join(out, file)), file).toBe(true);

    const command = /^ {2}(cat .+ \| mysql .+ DATABASE)$/m.exec(said.out)?.[1] ?? '';
    expect(command).toMatch(/dump\.sql'? .*floats\.sql'? .*triggers\.sql'? .*events\.sql/);
    const copy = await source.createDatabase();
    await load(command, copy);
    expect(await contentOf(copy)).toEqual(await contentOf(name));
  });

  it('open the download, which has the same files one after the other', async () => {
    const answer = await tidemark.api.send('GET', `/v1/backups/${backup.id}/download`);
    expect(answer.status).toBe(200);
    const path = join(scratch, 'download.sql');
    writeFileSync(path, Buffer.from(await answer.arrayBuffer()));
    const files = ['dump.sql', 'floats.sql', 'triggers.sql', 'events.sql'];
    const parts = files.map((file) => readFileSync(join(scratch, "ex'tracted", file)));
    expect(sha256(readFileSync(path))).toBe(sha256(Buffer.concat(parts)));
    const copy = await source.createDatabase();
    await load(`cat ${path} | mysql --binary-mode --comments --default-character-set=utf8mb4 DATABASE`, copy);
    expect(await contentOf(copy)).toEqual(await contentOf(name));
  });

  it('are changed for a plan: new backups use the new one, the earlier backup stays readable', async () => {
    const said = await keys('rotate', planId);
    expect(said.code, said.err).toBe(0);
    const [, fresh, former] = /use (key_\w+); .* readable with (key_\w+)/.exec(said.out) ?? [];
    expect(former).toBe(keyId);
    expect(fresh).not.toBe(keyId);
    expect((await tidemark.backUp(planId)).status).toBe('completed');
    expect((await keys('list')).out).toMatch(new RegExp(`^${keyId} .*no new backups since `, 'm'));
    const old = await tidemark.api.send('GET', `/v1/backups/${backup.id}/download?file=dump.sql`);
    expect((await old.arrayBuffer()).byteLength).toBeGreaterThan(500);
  });

  it('are sealed under another master key only while nothing runs; then the new one alone starts the service', async () => {
    const before = readFileSync(masterKeyFile(), 'utf8');
    const refused = await keys('rotate-master');
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('Stop Tidemark first') });
    expect(readFileSync(masterKeyFile(), 'utf8')).toBe(before);

    const token = tidemark.token;
    await tidemark.process.stop();
    const rotated = await keys('rotate-master');
    expect(rotated.code, rotated.err).toBe(0);
    expect(rotated.out).toContain('master.key.previous');
    const after = readFileSync(masterKeyFile(), 'utf8');
    expect(after).not.toBe(before);
    expect(readFileSync(`${masterKeyFile()}.previous`, 'utf8')).toBe(before);
    for (const key of [before, after]) expect(rotated.out + rotated.err).not.toContain(key.trim());

    // With the former key nothing starts, and the reader learns why and what to do.
    const withFormer = { TIDEMARK_MASTER_KEY: before.trim() };
    const start = startServiceProcess({ home: tidemark.home, token, env: withFormer });
    await expect(start.then((service) => service.stop())).rejects.toThrow(
      /The master key is not the one this installation was made with\. Nothing was started or changed/,
    );
    const listed = await run(['keys', 'list'], { TIDEMARK_HOME: tidemark.home, ...withFormer });
    expect(listed).toMatchObject({ code: 1, err: expect.stringContaining('master key is not the one') });

    await tidemark.restart();
    const copy = uniqueName('rotated');
    const restored = await tidemark.restore({
      source: { kind: 'backup', backupId: backup.id },
      target: { kind: 'server', databaseId, database: copy },
    });
    expect(restored, JSON.stringify(restored.error)).toMatchObject({ status: 'completed', proof: 'source' });
    expect(await contentOf(copy)).toEqual(await contentOf(name));
    await source.dropDatabase(copy);
    expect((await tidemark.backUp(planId)).status, 'a new backup').toBe('completed');
  });
});

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** Where the engines are, as this process found them. */
function definedInstall(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(loadConfig().install).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
