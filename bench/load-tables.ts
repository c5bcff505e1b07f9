import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import { getChainEngine } from '../src/engines/chain-registry.js';
import type { DatabaseConnection } from '../src/engines/engine.js';

/** Rows that the updates of the load go to. */
export const COUNTERS = 100_000;

/** Runs statements on one database, or on none of ours. */
export async function queryServer(
  { engine, host, port, username: user, password, database }: DatabaseConnection,
  statements: readonly string[],
  where: 'database' | 'server' = 'database',
): Promise<void> {
  if (engine === 'postgresql') {
    const client = new pg.Client({
      host,
      port,
      user,
      password,
      database: where === 'database' ? database : 'postgres',
    });
    await client.connect();
    for (const statement of statements) await client.query(statement);
    await client.end();
    return;
  }
  const session = await createConnection({ host, port, user, password, ...(where === 'database' ? { database } : {}) });
  for (const statement of statements) await session.query(statement);
  await session.end();
}

/** Makes the database that a load writes to. */
export async function makeLoadTables(connection: DatabaseConnection): Promise<void> {
  await queryServer(connection, [`CREATE DATABASE ${connection.database}`], 'server');
  const rows = Array.from({ length: COUNTERS }, (_, id) => `(${id}, 0)`).join(', ');
  const serial = connection.engine === 'postgresql' ? 'bigserial PRIMARY KEY' : 'bigint PRIMARY KEY AUTO_INCREMENT';
  await queryServer(connection, [
    `CREATE TABLE entry (id ${serial}, body text NOT NULL)`,
    'CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL)',
    `INSERT INTO counter VALUES ${rows}`,
  ]);
}

/** The end of a binary log. */
export async function readEnd(connection: DatabaseConnection): Promise<{ file: string; bytes: number }> {
  const context = { signal: new AbortController().signal, scratchDir: '/nonexistent', toolRoots: [] };
  const { position } = await getChainEngine(connection.engine).readLogEnd(connection, context);
  return { file: position.file ?? '', bytes: Number(position.filePosition) };
}
