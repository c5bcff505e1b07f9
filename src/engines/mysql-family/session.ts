import type { Connection as CoreConnection } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { createConnection } from 'mysql2/promise';
import { TidemarkError } from '../../domain/errors.js';
import type { DatabaseConnection } from '../engine.js';
import { placeOf, toEngineError } from './failures.js';

/** A row with every value as the server's text; NULL is null. */
export type Row = Readonly<Record<string, string | null>>;

/** How long a connection may take to be made, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;

export type SessionOptions = {
  /** Database to use; null for none. */
  readonly database: string | null;
  /** Shown in the server's connection attributes: `tidemark <restoreId> <attempt>`. */
  readonly name: string;
  readonly signal: AbortSignal;
  /** Character set in which statements are sent; default utf8mb4. */
  readonly characterSet?: string | undefined;
};

/** One connection with fixed settings, so that the same content reads the same on every server. */
export interface Session {
  /** The server's id of the connection, as in the process list and for KILL. */
  readonly id: string;
  readonly connection: DatabaseConnection;
  /** Runs one statement. Placeholders `?` are filled in by the client. Throws a TidemarkError; `what` says what was being done. */
  rows(sql: string, params?: readonly (string | number)[], what?: string): Promise<Row[]>;
  /** First column of the first row, or null. */
  value(sql: string, params?: readonly (string | number)[]): Promise<string | null>;
  /** As `rows`, but a driver error passes through unchanged: for callers that decide by error number. */
  raw(sql: string, params?: readonly (string | number)[]): Promise<Row[]>;
  /** Rows one by one, with back-pressure; nothing else runs on the session meanwhile. */
  stream(sql: string): AsyncIterable<Row>;
  close(): Promise<void>;
  /** Breaks the connection without a goodbye: for a session whose statement does not end. */
  destroy(): void;
}

/** Settings on which text forms depend. `ANSI_QUOTES` or a time zone of the server would change what SHOW CREATE and TIMESTAMP print. */
const settings = [
  'SET NAMES utf8mb4',
  "SET SESSION sql_mode = '', SESSION time_zone = '+00:00', SESSION sql_quote_show_create = 1",
  'SET SESSION wait_timeout = 86400, SESSION net_read_timeout = 600, SESSION net_write_timeout = 600, SESSION group_concat_max_len = 1048576',
];
/** Cached statistics would give yesterday's AUTO_INCREMENT; a statement limit of the server would end long reads. */
const mysqlSettings = ['SET SESSION information_schema_stats_expiry = 0, SESSION max_execution_time = 0'];
const mariadbSettings = ['SET SESSION max_statement_time = 0'];

function tlsOf(connection: DatabaseConnection) {
  if (!connection.tls) return undefined;
  const { mode, ca } = connection.tls;
  return {
    rejectUnauthorized: mode === 'verify',
    verifyIdentity: mode === 'verify',
    ...(ca === undefined ? {} : { ca }),
  };
}

/** Socket in a folder that stands in the place of a host: only sandboxes are reached so, users' addresses are refused before. */
export const socketOf = (folder: string): string => `${folder}/mysqld.sock`;

/** The driver's callback form, which alone can stream; the promise form keeps it in a property that its types leave out. */
const core = (driver: Connection) => (driver as unknown as { readonly connection: CoreConnection }).connection;

/** Opens a session. Errors: database_unreachable, authentication_failed, tls_required, database_missing, privilege_missing. */
export async function openSession(connection: DatabaseConnection, options: SessionOptions): Promise<Session> {
  options.signal.throwIfAborted();
  let driver: Connection;
  try {
    const ssl = tlsOf(connection);
    driver = await createConnection({
      ...(connection.host.startsWith('/')
        ? { socketPath: socketOf(connection.host) }
        : { host: connection.host, port: connection.port }),
      user: connection.username,
      password: connection.password,
      ...(options.database === null ? {} : { database: options.database }),
      ...(ssl ? { ssl } : {}),
      charset: options.characterSet ?? 'utf8mb4',
      connectTimeout: CONNECT_TIMEOUT_MS,
      multipleStatements: false,
      // Without the flag the server could ask this process for its files (LOAD DATA LOCAL).
      flags: ['-LOCAL_FILES'],
      connectAttributes: { program_name: options.name },
      // Everything as the server's text: no number is rounded, no date becomes an object.
      typeCast: (field) => field.string('utf8'),
    });
  } catch (error) {
    throw toEngineError(error, connection, 'Connecting failed', 'database_unreachable');
  }
  // An error of an idle connection (server restart) is an event: unheard it would end the process. The next statement reports it.
  driver.on('error', () => {});
  // A destroyed connection never answers what was asked on it: every question also ends with the connection.
  const ended = new AbortController();
  const onAbort = () => {
    driver.destroy();
    ended.abort();
  };
  options.signal.addEventListener('abort', onAbort, { once: true });

  const raw = (sql: string, params: readonly (string | number)[] = []): Promise<Row[]> =>
    new Promise((resolve, reject) => {
      const stop = () =>
        reject(Object.assign(new Error('Connection lost: it was ended here'), { code: 'PROTOCOL_CONNECTION_LOST' }));
      if (ended.signal.aborted) return stop();
      ended.signal.addEventListener('abort', stop, { once: true });
      driver
        .query(sql, [...params])
        .then(([result]) => resolve(Array.isArray(result) ? (result as Row[]) : []), reject)
        .finally(() => ended.signal.removeEventListener('abort', stop));
    });
  const rows = async (sql: string, params: readonly (string | number)[] = [], what = 'A query failed') => {
    try {
      return await raw(sql, params);
    } catch (error) {
      if (options.signal.aborted) throw new TidemarkError('cancelled', `${what} (${placeOf(connection)}): cancelled.`);
      throw toEngineError(error, connection, what, 'internal');
    }
  };
  const session: Session = {
    id: String(driver.threadId),
    connection,
    raw,
    rows,
    stream: (sql) => core(driver).query(sql).stream({ highWaterMark: 256 }),
    value: async (sql, params) => {
      const [first] = await rows(sql, params);
      return first === undefined ? null : (Object.values(first)[0] ?? null);
    },
    close: async () => {
      options.signal.removeEventListener('abort', onAbort);
      if (ended.signal.aborted) return;
      await driver.end().catch(() => driver.destroy());
    },
    destroy: () => {
      options.signal.removeEventListener('abort', onAbort);
      onAbort();
    },
  };
  try {
    for (const sql of settings) if (options.characterSet === undefined || !sql.startsWith('SET NAMES')) await rows(sql);
    for (const sql of connection.engine === 'mysql' ? mysqlSettings : mariadbSettings) await rows(sql);
  } catch (error) {
    session.destroy();
    throw error;
  }
  return session;
}

/** Opens a session, hands it to `work`, and closes it whatever happens. */
export async function withSession<T>(
  connection: DatabaseConnection,
  options: SessionOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(connection, options);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
