import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { compareSchema } from '../../scripts/lib/compare-schema.js';
import { applyMigrations, migrationsFolder, readMigrations } from '../../src/catalog/migrate.js';
import { uniqueName, useEngine } from '../support/engine-servers.js';

const server = useEngine('pg18');
const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

const schema = readFileSync(new URL('../../prisma/schema.prisma', import.meta.url), 'utf8');

async function newDatabase(): Promise<string> {
  const name = await server.createDatabase({ name: uniqueName('migrations') });
  const password = encodeURIComponent(server.adminPassword);
  return `postgresql://${server.adminUser}:${password}@${server.host}:${server.port}/${name}`;
}

/** A copy of our migrations with one more behind them. */
async function withNext(sql: string): Promise<{ folder: string; name: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'tm-migrations-'));
  folders.push(folder);
  await cp(migrationsFolder, folder, { recursive: true });
  const name = '29991231235959_next';
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, 'migration.sql'), sql);
  await writeFile(join(folder, name, 'schema.prisma'), schema);
  return { folder, name };
}

async function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('migrations', () => {
  it('lead from an empty database to the schema, with a history that Prisma agrees with', async () => {
    const databases = { migrated: await newDatabase(), fresh: await newDatabase() };
    expect(await compareSchema(databases, schema, await readMigrations())).toEqual([]);
  });

  it('are found wanting when the schema has moved on, and when a migration does more than the schema says', async () => {
    const moved = schema.replace('model Installation {', 'model Installation {\n  extra String?');
    const found = await compareSchema(
      { migrated: await newDatabase(), fresh: await newDatabase() },
      moved,
      await readMigrations(),
    );
    expect(found.join('\n')).toContain('missing: column "Installation".extra text');
    const { folder } = await withNext('create index sneaky on "User" ("role");');
    const more = await compareSchema(
      { migrated: await newDatabase(), fresh: await newDatabase() },
      schema,
      await readMigrations(folder),
      folder,
    );
    expect(more.join('\n')).toContain('too much: CREATE INDEX sneaky');
  });

  it('are applied once when several processes start at the same time', async () => {
    const url = await newDatabase();
    const results = await Promise.all(Array.from({ length: 5 }, () => applyMigrations(url)));
    const names = (await readMigrations()).map((migration) => migration.name);
    expect(results.flat()).toEqual(names);
    expect(await applyMigrations(url)).toEqual([]);
  });

  it('leave nothing of a migration that fails in the middle, and go on when it is mended', async () => {
    const url = await newDatabase();
    const broken = await withNext('create table half (id int); select 1 / 0;');
    await expect(applyMigrations(url, broken.folder)).rejects.toThrow(/next failed and was undone: division by zero/);
    expect(await query(url, "select to_regclass('half') as half")).toEqual([{ half: null }]);
    const mended = await withNext('create table half (id int);');
    expect(await applyMigrations(url, mended.folder)).toEqual([mended.name]);
  });

  it('refuse a database of a newer build and a script that was edited after it had been applied', async () => {
    const url = await newDatabase();
    const newer = await withNext('create table later (id int);');
    await applyMigrations(url, newer.folder);
    await expect(applyMigrations(url)).rejects.toThrow(/made by a newer Tidemark/);
    const script = join(newer.folder, newer.name, 'migration.sql');
    await writeFile(script, `${await readFile(script, 'utf8')}-- edited`);
    await expect(applyMigrations(url, newer.folder)).rejects.toThrow(/was changed after it had been applied/);
  });
});
