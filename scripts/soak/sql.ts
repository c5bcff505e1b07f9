import type { ResultSetHeader } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import pg from 'pg';
import type { EngineKind } from '../../src/domain/engine-kinds.js';

export type Account = {
  readonly engine: EngineKind;
  readonly port: number;
  readonly username: string;
  readonly password: string;
};

/** One connection. `?` marks a parameter on every engine. */
export type Sql = {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Rows that the statement changed. */
  change(text: string, values?: readonly unknown[]): Promise<number>;
  close(): Promise<void>;
  /** At once, also in the middle of a statement. */
  destroy(): void;
};

export async function openSql(account: Account, database?: string): Promise<Sql> {
  const { engine, port, username: user, password } = account;
  const host = '127.0.0.1';
  if (engine === 'postgresql') {
    const client = new pg.Client({
      host,
      port,
      user,
      password,
      database: database ?? 'postgres',
      connectionTimeoutMillis: 20_000,
    });
    client.on('error', () => {});
    await client.connect();
    const run = (text: string, values: readonly unknown[] = []) => client.query(numbered(text), [...values]);
    return {
      query: async <Row>(text: string, values?: readonly unknown[]) => (await run(text, values)).rows as Row[],
      change: async (text, values) => (await run(text, values)).rowCount ?? 0,
      close: () => client.end(),
      destroy: () => void client.end().catch(() => {}),
    };
  }
  const connection = await createConnection({
    host,
    port,
    user,
    password,
    supportBigNumbers: true,
    connectTimeout: 20_000,
    ...(database === undefined ? {} : { database }),
  });
  connection.on('error', () => {});
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) =>
      (await connection.query(text, [...values]))[0] as unknown as Row[],
    change: async (text, values = []) =>
      ((await connection.query(text, [...values]))[0] as ResultSetHeader).affectedRows,
    close: () => connection.end(),
    destroy: () => connection.destroy(),
  };
}

/** Runs `work` on a connection of its own. */
export async function withSql<T>(
  account: Account,
  database: string | undefined,
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const sql = await openSql(account, database);
  try {
    return await work(sql);
  } finally {
    await sql.close().catch(() => {});
  }
}

export function quoteName(engine: EngineKind, name: string): string {
  return engine === 'postgresql' ? `"${name.replaceAll('"', '""')}"` : `\`${name.replaceAll('`', '``')}\``;
}

const SYSTEM = [
  'postgres',
  'template0',
  'template1',
  'mysql',
  'sys',
  'information_schema',
  'performance_schema',
  'test',
];

/** Databases of the server but its own. */
export async function listDatabases(account: Account): Promise<string[]> {
  const rows = await withSql(account, undefined, (sql) =>
    sql.query<{ name: string }>(
      account.engine === 'postgresql'
        ? 'select datname as name from pg_database'
        : 'select schema_name as name from information_schema.schemata',
    ),
  );
  return rows.map((row) => row.name).filter((name) => !SYSTEM.includes(name));
}

export async function dropDatabase(account: Account, name: string): Promise<void> {
  const force = account.engine === 'postgresql' ? ' with (force)' : '';
  await withSql(account, undefined, (sql) =>
    sql.query(`drop database if exists ${quoteName(account.engine, name)}${force}`),
  );
}

function numbered(text: string): string {
  let index = 0;
  return text.replaceAll('?', () => `$${++index}`);
}
