/**
 * `npm run db:check`: proves on a real PostgreSQL that the migrations, applied to an empty database, lead to prisma/schema.prisma.
 * Uses a server of its own, or that of DATABASE_URL (in databases made for this and dropped afterwards).
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { readMigrations } from '../src/catalog/migrate.js';
import { loadConfig } from '../src/config.js';
import { startEngineServer } from '../src/embedded/engine-server.js';
import { engineRoot } from '../src/platform/installed.js';
import { compareSchema } from './lib/compare-schema.js';

async function withServer(work: (adminUrl: string) => Promise<string[]>): Promise<string[]> {
  const config = loadConfig();
  if (config.databaseUrl) return work(config.databaseUrl);
  const folder = mkdtempSync(join(tmpdir(), 'tm-db-check-'));
  chmodSync(folder, 0o711);
  const product = engineRoot('pg18', config.install) ? 'pg18' : 'pg17';
  const server = await startEngineServer({ product, dataDir: join(folder, product), durability: 'fast' });
  try {
    return await work(
      `postgresql://${server.adminUser}:${server.adminPassword}@${server.host}:${server.port}/postgres`,
    );
  } finally {
    await server.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

const faults = await withServer(async (adminUrl) => {
  const names = ['migrated', 'fresh'].map((what) => `tidemark_db_check_${what}_${randomBytes(4).toString('hex')}`);
  const admin = new pg.Client({ connectionString: adminUrl });
  await admin.connect();
  try {
    for (const name of names) await admin.query(`create database ${name}`);
    const [migrated = '', fresh = ''] = names.map((name) => {
      const url = new URL(adminUrl);
      url.pathname = `/${name}`;
      return url.href;
    });
    const schema = readFileSync(new URL('../prisma/schema.prisma', import.meta.url), 'utf8');
    return await compareSchema({ migrated, fresh }, schema, await readMigrations());
  } finally {
    for (const name of names) await admin.query(`drop database if exists ${name} with (force)`);
    await admin.end();
  }
});
for (const fault of faults) console.error(fault);
if (faults.length === 0) console.log('The migrations lead to prisma/schema.prisma.');
process.exit(faults.length === 0 ? 0 : 1);
