import pg from 'pg';
import { TidemarkError } from '../../domain/errors.js';
import type { DatabaseConnection, TlsOptions } from '../engine.js';
import { mapConnectError } from './map-error.js';

/** A row whose values are the server's own text: a parser of ours would lose digits and microseconds. */
export type TextRow = Record<string, string | null>;

/** One connection to one database of the server. */
export type Session = {
  readonly client: pg.Client;
  readonly connection: DatabaseConnection;
  rows(sql: string): Promise<TextRow[]>;
  /** The first column of the first row, or null. */
  value(sql: string): Promise<string | null>;
  run(sql: string): Promise<void>;
  /** Safe to call twice; an open transaction is rolled back by the server. */
  close(): Promise<void>;
};

/** How long the server may take to answer a login, in milliseconds. */
export const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Idle time after which either end of a connection asks whether the other is still there, in seconds. The session that holds a snapshot says
 * nothing for hours; a firewall, NAT or load balancer between forgets a silent connection after minutes (350 s on some), and the dump's
 * snapshot with it. The systems' own default is two hours.
 */
const KEEPALIVE_IDLE_S = 60;

/**
 * Settings of every session, given at the start so that they beat what `ALTER DATABASE … SET` and `ALTER ROLE … SET` say. A time-out or
 * a read-only default of the database must not end our work, nor `role` change who we are; the rest fixes how values are written as text.
 */
const sessionSettings: Readonly<Record<string, string>> = {
  role: 'none',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_read_only: 'off',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  row_security: 'off',
  // A reader whose client is gone stops within this time instead of scanning to its end.
  client_connection_check_interval: '5s',
  // Every role may set these; a connection that is not TCP ignores them. Four questions without an answer end the session.
  tcp_keepalives_idle: String(KEEPALIVE_IDLE_S),
  tcp_keepalives_interval: '15',
  tcp_keepalives_count: '4',
};

/** Fixes how values are written as text, so that equal values have equal text on every server and whatever the database's settings. */
export const textSettings = [
  "SET timezone = 'UTC'",
  "SET datestyle = 'ISO, MDY'",
  "SET intervalstyle = 'postgres'",
  'SET extra_float_digits = 1',
  "SET bytea_output = 'hex'",
  "SET xmloption = 'content'",
  "SET xmlbinary = 'base64'",
  "SET lc_monetary = 'C'",
  "SET lc_numeric = 'C'",
  'SET standard_conforming_strings = on',
  'SET quote_all_identifiers = off',
  "SET search_path = ''",
];

/** The `options` start-up parameter (and PGOPTIONS of the tools): spaces and backslashes of a value are escaped there. */
export function sessionOptions(more: Readonly<Record<string, string>> = {}): string {
  return Object.entries({ ...sessionSettings, ...more })
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\ ]/g, '\\$&')}`)
    .join(' ');
}

function tlsConfig(tls: TlsOptions | null): pg.ClientConfig['ssl'] {
  if (tls === null) return false;
  if (tls.mode === 'require') return { rejectUnauthorized: false };
  return { rejectUnauthorized: true, ...(tls.ca === undefined ? {} : { ca: tls.ca }) };
}

/** Opens a session. Throws the table's connection errors; an abort closes it. */
export async function connect(
  connection: DatabaseConnection,
  options: {
    signal: AbortSignal;
    applicationName: string;
    database?: string;
    settings?: Readonly<Record<string, string>>;
    replication?: boolean;
  },
): Promise<Session> {
  const database = options.database ?? connection.database;
  if (options.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
  const client = new pg.Client({
    host: connection.host,
    port: connection.port,
    user: connection.username,
    password: connection.password,
    database,
    ssl: tlsConfig(connection.tls),
    application_name: options.applicationName,
    ...(options.replication ? { replication: 'true' } : { options: sessionOptions(options.settings) }),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_IDLE_S * 1000,
    types: { getTypeParser: () => (text: unknown) => text as never },
  });
  // A server that goes away between two statements: the next statement tells, this must not end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    // Known from 17 on only, so it cannot be among the start-up settings.
    if (!options.replication)
      await client.query(
        "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'",
      );
  } catch (error) {
    void client.end().catch(() => {});
    throw mapConnectError(error, connection, database);
  }
  let closing: Promise<void> | undefined;
  const close = () => {
    options.signal.removeEventListener('abort', onAbort);
    closing ??= client.end().catch(() => {});
    return closing;
  };
  // Breaking the socket makes a running statement fail at once; the server ends it when it next writes.
  const onAbort = () => {
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  };
  options.signal.addEventListener('abort', onAbort, { once: true });
  const query = async (sql: string): Promise<pg.QueryResult<TextRow>> => {
    try {
      return await client.query<TextRow>(sql);
    } catch (error) {
      if (options.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.', {}, { cause: error });
      throw error;
    }
  };
  return {
    client,
    connection,
    rows: async (sql) => (await query(sql)).rows,
    value: async (sql) => {
      const [row] = (await query(sql)).rows;
      return row === undefined ? null : (Object.values(row)[0] ?? null);
    },
    run: async (sql) => void (await query(sql)),
    close,
  };
}
