import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import pg from 'pg';
import type { Config } from '../../src/config.js';
import type { EngineServer } from '../../src/embedded/engine-server.js';
import { startEngineServer } from '../../src/embedded/engine-server.js';
import type { EngineProduct } from '../../src/platform/installed.js';
import { engineProducts, engineProductTitles, engineRoot } from '../../src/platform/installed.js';
import type { DemoTable } from './geonames.js';
import { loadMysql } from './load-mysql.js';
import { loadPostgresql } from './load-postgresql.js';

/** A real server with the gazetteer in it, and the account that Tidemark gets. */
export type DemoSource = {
  readonly title: string;
  readonly name: string;
  readonly server: EngineServer;
  readonly database: string;
  readonly username: string;
  readonly password: string;
};

const DATABASE = 'gazetteer';

/**
 * What a policy recommends beyond the settings that our servers have anyway: a slot must not fill the disk while the store is away. MySQL and
 * MariaDB need no more: they write their log with whole rows, MySQL with GTIDs.
 */
const POSTGRESQL_SETTINGS = { max_slot_wal_keep_size: '1GB' };

export type SourceOptions = {
  readonly config: Config;
  readonly home: string;
  readonly only: readonly string[] | undefined;
  readonly tables: readonly DemoTable[];
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};

/** Starts one server per installed engine, one after the other (two cores load faster that way), each with the gazetteer. */
export async function startSources(options: SourceOptions): Promise<DemoSource[]> {
  const wanted = engineProducts.filter((product) => options.only === undefined || options.only.includes(product));
  const sources: DemoSource[] = [];
  try {
    for (const product of wanted) {
      options.signal.throwIfAborted();
      if (engineRoot(product, options.config.install) === null) {
        options.say(
          `  ${engineProductTitles[product]}: not installed here, left out (npm run doctor says how to get it)`,
        );
        continue;
      }
      sources.push(await startSource(product, options));
      options.say(`  ${engineProductTitles[product]}: ${countRows(options.tables)} rows loaded`);
    }
  } catch (error) {
    await Promise.allSettled(sources.map((source) => source.server.stop()));
    throw error;
  }
  return sources;
}

async function startSource(product: EngineProduct, { home, tables }: SourceOptions): Promise<DemoSource> {
  const server = await startEngineServer({
    product,
    dataDir: join(home, 'sources', product),
    durability: 'fast',
    settings: product.startsWith('pg') ? POSTGRESQL_SETTINGS : {},
  });
  try {
    const password = randomBytes(18).toString('base64url');
    if (server.engine === 'postgresql') await fillPostgresql(server, password, tables);
    else await fillMysql(server, password, tables);
    return {
      title: engineProductTitles[product],
      name: `gazetteer on ${engineProductTitles[product]}`,
      server,
      database: DATABASE,
      username: 'tidemark',
      password,
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function fillPostgresql(server: EngineServer, password: string, tables: readonly DemoTable[]): Promise<void> {
  const admin = { host: server.host, port: server.port, user: server.adminUser, password: server.adminPassword };
  const client = new pg.Client({ ...admin, database: 'postgres' });
  await client.connect();
  try {
    // REPLICATION is what fulls and the log need, CREATEDB what a restore under another name needs.
    await client.query(`create role tidemark login createdb replication password '${password}'`);
    await client.query(`create database ${DATABASE} owner tidemark`);
  } finally {
    await client.end();
  }
  await loadPostgresql(
    { host: server.host, port: server.port, user: 'tidemark', password, database: DATABASE },
    tables,
  );
}

async function fillMysql(server: EngineServer, password: string, tables: readonly DemoTable[]): Promise<void> {
  const client = await mysql.createConnection({
    host: server.host,
    port: server.port,
    user: server.adminUser,
    password: server.adminPassword,
  });
  try {
    await client.query(`create database ${DATABASE} character set utf8mb4`);
    await client.query(`create user tidemark@'127.0.0.1' identified by '${password}'`);
    // What a dump, a restore under another name and the swap need on a server of one's own.
    await client.query(`grant all privileges on *.* to tidemark@'127.0.0.1'`);
  } finally {
    await client.end();
  }
  const { host, port } = server;
  await loadMysql({ host, port, user: 'tidemark', password, database: DATABASE }, tables);
}

/** With the one row that a trigger records: each loader ends by renaming a place. The table at the end counts it too. */
function countRows(tables: readonly DemoTable[]): string {
  return tables.reduce((sum, table) => sum + table.rows.length, 1).toLocaleString('en');
}
