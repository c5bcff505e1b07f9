import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import type { EngineServer } from '../src/embedded/engine-server.js';

/** Rows are about 1 KiB: a third random bytes as text (does not pack), the rest words that repeat as in real tables. */
const ROW_BYTES = 1024;

const WORDS = 'order customer shipped pending invoice address street payment returned gift note delivery parcel ';

/**
 * Fills a new database with about `mib` MiB of table data; returns its name. `fillfactor` (PostgreSQL): percent of each page that is
 * filled, so that a row can change within its page.
 */
export async function generateDatabase(
  server: EngineServer,
  mib: number,
  { fillfactor = 100 }: { readonly fillfactor?: number } = {},
): Promise<string> {
  const rows = Math.ceil((mib * 1024 * 1024) / ROW_BYTES);
  if (server.engine === 'postgresql') await fillPostgres(server, rows, fillfactor);
  else await fillMysql(server, rows);
  return 'bench';
}

async function fillPostgres(server: EngineServer, rows: number, fillfactor: number): Promise<void> {
  const connect = async (database: string) => {
    const client = new pg.Client({
      host: server.host,
      port: server.port,
      user: server.adminUser,
      password: server.adminPassword,
      database,
    });
    await client.connect();
    return client;
  };
  const admin = await connect('postgres');
  await admin.query('CREATE DATABASE bench');
  await admin.end();
  const client = await connect('bench');
  // So large an INSERT would be compiled, and fail where the server's LLVM library is not installed.
  await client.query('SET jit = off');
  await client.query(`CREATE TABLE item (id bigint PRIMARY KEY, made timestamptz NOT NULL, price numeric(12,2),
    random_text text NOT NULL, words text NOT NULL) WITH (fillfactor = ${fillfactor})`);
  await client.query(
    // md5 of a random number ten times: 320 characters that a compressor can only halve.
    `INSERT INTO item SELECT i, timestamptz '2026-01-01' + i * interval '1 second', (i % 100000) / 7.0,
       md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) ||
       md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text),
       repeat(substr('${WORDS}', 1 + (i % 40)::int, 50), 12)
     FROM generate_series(1::bigint, ${rows}::bigint) i`,
  );
  await client.query('ANALYZE item');
  await client.end();
}

async function fillMysql(server: EngineServer, rows: number): Promise<void> {
  const connection = await createConnection({
    host: server.host,
    port: server.port,
    user: server.adminUser,
    password: server.adminPassword,
  });
  await connection.query('CREATE DATABASE bench');
  await connection.query('USE bench');
  await connection.query(`CREATE TABLE item (id bigint PRIMARY KEY AUTO_INCREMENT, made datetime(6) NOT NULL, price decimal(12,2),
    random_text varchar(400) NOT NULL, words text NOT NULL) CHARACTER SET utf8mb4`);
  // Not md5: MySQL 9 has none any more.
  const random = Array.from({ length: 5 }, () => 'sha2(rand(), 256)').join(', ');
  const values = (from: string) =>
    `SELECT now(6), rand() * 10000, concat(${random}), repeat(substr('${WORDS}', 1 + floor(rand() * 40), 50), 12) FROM ${from}`;
  const insert = 'INSERT INTO item (made, price, random_text, words)';
  await connection.query(`${insert} ${values('(SELECT 1) one')}`);
  for (let have = 1; have < rows; ) {
    // At most so many per statement that no transaction grows large.
    const add = Math.min(have, rows - have, 100_000);
    await connection.query(`${insert} ${values(`(SELECT id FROM item LIMIT ${add}) some`)}`);
    have += add;
  }
  await connection.query('ANALYZE TABLE item');
  await connection.end();
}
