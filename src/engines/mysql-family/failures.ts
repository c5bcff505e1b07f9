import type { ErrorCode, ErrorDetails } from '../../domain/errors.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import { hideSecrets } from '../../platform/hide-secrets.js';
import type { DatabaseConnection } from '../engine.js';

/** Names of mysql2 and Node errors that mean: nobody answers there. */
const unreachable = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ER_CON_COUNT_ERROR',
  'ER_HOST_IS_BLOCKED',
]);
const lost = new Set(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE', 'ER_QUERY_INTERRUPTED', 'ER_SERVER_SHUTDOWN']);

/** Server error numbers with a code of their own. */
const byNumber: Record<number, ErrorCode> = {
  1044: 'privilege_missing',
  1045: 'authentication_failed',
  1049: 'database_missing',
  1053: 'connection_lost',
  1141: 'privilege_missing',
  1142: 'privilege_missing',
  1143: 'privilege_missing',
  1227: 'privilege_missing',
  1317: 'connection_lost',
  1370: 'privilege_missing',
  1412: 'source_changed_during_dump',
  1419: 'privilege_missing',
  1698: 'authentication_failed',
  1820: 'authentication_failed',
  1862: 'authentication_failed',
  1927: 'connection_lost',
  2006: 'connection_lost',
  2013: 'connection_lost',
  3118: 'authentication_failed',
  3159: 'tls_required',
  4031: 'connection_lost',
  4062: 'authentication_failed',
};

type DriverError = { code?: unknown; errno?: unknown; message?: unknown; sqlMessage?: unknown };

/** Error number of the server, or null when the error is not one. */
export function serverErrorNumber(error: unknown): number | null {
  const { errno } = (error ?? {}) as DriverError;
  return typeof errno === 'number' && errno >= 1000 ? errno : null;
}

function codeOf(error: DriverError): ErrorCode | null {
  const name = typeof error.code === 'string' ? error.code : '';
  const text = String(error.sqlMessage ?? error.message ?? '');
  if (unreachable.has(name)) return 'database_unreachable';
  if (name === 'HANDSHAKE_NO_SSL_SUPPORT' || name === 'HANDSHAKE_SSL_ERROR' || /certificate|SSL|TLS/.test(name))
    return 'tls_required';
  if (/self.signed certificate|unable to (get|verify).*certificate|certificate/i.test(text)) return 'tls_required';
  if (lost.has(name) || /closed state|Connection lost/.test(text)) return 'connection_lost';
  const number = serverErrorNumber(error);
  return number === null ? null : (byNumber[number] ?? null);
}

/** Where a connection goes, for messages: `shop on db.example:3306`. */
export function placeOf(connection: Pick<DatabaseConnection, 'host' | 'port' | 'database'>): string {
  return `${connection.database} on ${connection.host}:${connection.port}`;
}

/**
 * Turns what the driver threw into a TidemarkError. `fallback` is used for server errors without a code of their own. The server's own
 * sentence is kept, without the password.
 */
export function toEngineError(
  error: unknown,
  connection: DatabaseConnection,
  what: string,
  fallback: ErrorCode,
  details: ErrorDetails = {},
): TidemarkError {
  if (isTidemarkError(error)) return error;
  const driver = (error ?? {}) as DriverError;
  const said = String(driver.sqlMessage ?? driver.message ?? driver.code ?? 'unknown error');
  const text = hideSecrets(said, [connection.password]).slice(0, 500);
  return new TidemarkError(
    codeOf(driver) ?? fallback,
    `${what} (${placeOf(connection)}): ${text}`,
    { object: connection.database, ...details },
    { cause: error },
  );
}

/** As `toEngineError`, for the stderr of a client program. */
export function toToolError(
  stderr: string,
  connection: DatabaseConnection,
  what: string,
  fallback: ErrorCode,
): TidemarkError {
  // Lines that begin with `--` are the progress of --verbose; `Warning` lines are not the reason of a failure.
  const lines = stderr.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('--'));
  const told = lines.filter((line) => !/\bwarning\b/i.test(line));
  const text = (told.length > 0 ? told : lines).slice(-3).join(' ').slice(0, 500);
  const number = Number(/(?:ERROR|error:?|Got error:) (\d{4})\b/.exec(text)?.[1] ?? /: (\d{4}):/.exec(text)?.[1] ?? 0);
  const denied = /Access denied; you need|command denied to user|insufficient privileges/i.test(text);
  const code = denied ? 'privilege_missing' : (byNumber[number] ?? fallback);
  return new TidemarkError(
    code,
    `${what} (${placeOf(connection)}): ${hideSecrets(text, [connection.password]) || 'no message'}`,
    { object: connection.database },
  );
}
