/** `npm run db:migration -- name`: writes the next migration from the difference between the last one's schema and prisma/schema.prisma. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { migrationsFolder, readMigrations } from '../src/catalog/migrate.js';
import { noFilters, openSchemaEngine, schemaTarget } from './lib/schema-engine.js';

const name = process.argv[2];
if (!name || !/^[a-z][a-z0-9_]*$/.test(name)) {
  console.error('Usage: npm run db:migration -- name_in_lower_case');
  process.exit(2);
}

const schema = await readFile(new URL('../prisma/schema.prisma', import.meta.url), 'utf8');
const last = (await readMigrations()).at(-1);
// Without a database: both sides of the difference are texts.
const engine = await openSchemaEngine(null, schema);
const { stdout, exitCode } = await engine.diff({
  from: last ? schemaTarget(last.schema) : { tag: 'empty' },
  to: schemaTarget(schema),
  script: true,
  exitCode: true,
  filters: noFilters,
});
if (exitCode === 0 || !stdout) {
  console.log('prisma/schema.prisma has not changed since the last migration.');
  process.exit(0);
}

const stamp = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
const folder = join(migrationsFolder, `${stamp}_${name}`);
await mkdir(folder, { recursive: true });
// The schema is there in every database, and the statement asks for a right on the database that a plain owner of tables lacks.
const script = stdout.replace('-- CreateSchema\nCREATE SCHEMA IF NOT EXISTS "public";\n\n', '');
await writeFile(join(folder, 'migration.sql'), script);
await writeFile(join(folder, 'schema.prisma'), schema);
console.log(`Wrote prisma/migrations/${stamp}_${name}. Read the script before you commit it.`);
process.exit(0);
