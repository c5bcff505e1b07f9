import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

/** One folder of `prisma/migrations`: its script and the schema it leads to. */
export type Migration = { readonly name: string; readonly sql: string; readonly schema: string };

// Any number does as long as every version of Tidemark uses the same one ("tide" in ASCII).
const lockKey = 0x74696465;

// The table that Prisma's own tools keep, so that they can read the history of this database.
const createHistory = `
create table if not exists _prisma_migrations (
  id varchar(36) primary key not null,
  checksum varchar(64) not null,
  finished_at timestamptz,
  migration_name varchar(255) not null,
  logs text,
  rolled_back_at timestamptz,
  started_at timestamptz not null default now(),
  applied_steps_count integer not null default 0
)`;

/** Where the migrations of this build are; the same place seen from `src/` and from `dist/`. */
export const migrationsFolder = fileURLToPath(new URL('../../prisma/migrations', import.meta.url));

/** Reads every migration, oldest first (folder names begin with their time). */
export async function readMigrations(folder: string = migrationsFolder): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => ({
      name,
      sql: await readFile(join(folder, name, 'migration.sql'), 'utf8'),
      schema: await readFile(join(folder, name, 'schema.prisma'), 'utf8'),
    })),
  );
}

/** Checksum as Prisma writes it: hex SHA-256 of the script. */
export function checksumOf(sql: string): string {
  return createHash('sha256').update(sql).digest('hex');
}

/**
 * Brings the catalog to the schema of this build and returns the names of what was applied. Safe to call from several processes
 * at once: an advisory lock lets one work and the others find everything done.
 *
 * Script and history row are one transaction. Prisma's engine writes them apart, so that a kill between the two leaves a history
 * nobody can go on from; here a kill at any moment leaves either all of a migration or nothing.
 *
 * @throws Error when the database was made by a newer build, or when an applied script was edited since: both need a person.
 */
export async function applyMigrations(databaseUrl: string, folder: string = migrationsFolder): Promise<string[]> {
  const migrations = await readMigrations(folder);
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'tidemark migrations',
    connectionTimeoutMillis: 10_000,
  });
  // A connection that breaks between queries must not end the process; the next query reports it.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [lockKey]);
    await client.query(createHistory);
    const applied = await readHistory(client);
    checkHistory(migrations, applied);
    const done: string[] = [];
    for (const migration of migrations) {
      if (applied.has(migration.name)) continue;
      await applyOne(client, migration);
      done.push(migration.name);
    }
    return done;
  } finally {
    // Ends the session and with it the lock.
    await client.end();
  }
}

async function readHistory(client: pg.Client): Promise<Map<string, string>> {
  const result = await client.query<{ migration_name: string; checksum: string }>(
    'select migration_name, checksum from _prisma_migrations where rolled_back_at is null and finished_at is not null',
  );
  return new Map(result.rows.map((row) => [row.migration_name, row.checksum]));
}

function checkHistory(migrations: readonly Migration[], applied: ReadonlyMap<string, string>): void {
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const [name, checksum] of applied) {
    const migration = known.get(name);
    if (!migration) {
      throw new Error(
        `The catalog holds migration ${name}, which this build does not know: it was made by a newer Tidemark. Start that version.`,
      );
    }
    if (checksumOf(migration.sql) !== checksum) {
      throw new Error(
        `Migration ${name} was changed after it had been applied. Undo the edit and write a new migration.`,
      );
    }
  }
}

async function applyOne(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(migration.sql);
    await client.query(
      `insert into _prisma_migrations (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
       values ($1, $2, clock_timestamp(), $3, now(), 1)`,
      [randomUUID(), checksumOf(migration.sql), migration.name],
    );
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw new Error(`Migration ${migration.name} failed and was undone: ${(error as Error).message}`, { cause: error });
  }
}
