import pg from 'pg';
import type { Migration } from '../../src/catalog/migrate.js';
import { applyMigrations } from '../../src/catalog/migrate.js';
import { noFilters, openSchemaEngine, schemaTarget } from './schema-engine.js';

/**
 * What differs between the migrations and the schema; empty when nothing does. One empty database gets the migrations, the other the
 * script that makes the schema at once, then both are described and compared. (The engine's own look at a database cannot be
 * used: as WebAssembly it fails on PostgreSQL's "char" columns.)
 */
export async function compareSchema(
  databases: { readonly migrated: string; readonly fresh: string },
  schema: string,
  migrations: readonly Migration[],
  folder?: string,
): Promise<string[]> {
  await applyMigrations(databases.migrated, folder);
  const engine = await openSchemaEngine(databases.migrated, schema);
  const faults: string[] = [];
  try {
    const { stdout } = await engine.diff({
      from: { tag: 'empty' },
      to: schemaTarget(schema),
      script: true,
      exitCode: null,
      filters: noFilters,
    });
    await run(databases.fresh, stdout ?? '');
    const [migrated, fresh] = [await describeDatabase(databases.migrated), await describeDatabase(databases.fresh)];
    const missing = fresh.filter((line) => !migrated.includes(line));
    const extra = migrated.filter((line) => !fresh.includes(line));
    if (missing.length + extra.length > 0) {
      faults.push(
        'The migrations do not lead to prisma/schema.prisma. Run `npm run db:migration -- name`.',
        ...missing.map((line) => `  missing: ${line}`),
        ...extra.map((line) => `  too much: ${line}`),
      );
    }
    const last = migrations.at(-1);
    if (last?.schema !== schema) faults.push('The schema kept in the newest migration is not prisma/schema.prisma.');
    faults.push(...(await askPrisma(engine, migrations)));
  } finally {
    engine.free();
  }
  return faults;
}

/** Prisma's own tools must be able to read the history that our runner wrote. */
async function askPrisma(
  engine: Awaited<ReturnType<typeof openSchemaEngine>>,
  migrations: readonly Migration[],
): Promise<string[]> {
  const history = await engine.diagnoseMigrationHistory({
    migrationsList: {
      baseDir: 'prisma/migrations',
      lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
      shadowDbInitScript: '',
      migrationDirectories: migrations.map(({ name, sql }) => ({
        path: name,
        migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value: sql } },
      })),
    },
    optInToShadowDatabase: false,
    filters: noFilters,
  });
  const agrees = history.hasMigrationsTable && history.history === null && history.editedMigrationNames.length === 0;
  return agrees ? [] : [`Prisma does not agree with the history in the database: ${JSON.stringify(history)}`];
}

// Everything a Prisma schema can ask for. The order of columns does not count: an added one stands last.
const description = `
select format('column %I.%I %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
              case when a.attnotnull then ' not null' else '' end, ' default ' || pg_get_expr(d.adbin, d.adrelid)) as line
  from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
   and c.relname <> '_prisma_migrations'
union all
select format('constraint %I on %s: %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
  from pg_constraint where connamespace = 'public'::regnamespace and conrelid <> coalesce(to_regclass('_prisma_migrations'), 0)
   and contype <> 'n'
union all
select indexdef from pg_indexes where schemaname = 'public' and tablename <> '_prisma_migrations'
union all
select format('enum %s: %s', t.typname, string_agg(e.enumlabel, ', ' order by e.enumsortorder))
  from pg_type t join pg_enum e on e.enumtypid = t.oid group by t.typname
union all
select format('sequence %I.%I', schemaname, sequencename) from pg_sequences
order by 1`;

async function describeDatabase(url: string): Promise<string[]> {
  const rows = await run<{ line: string }>(url, description);
  return rows.map((row) => row.line);
}

async function run<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}
