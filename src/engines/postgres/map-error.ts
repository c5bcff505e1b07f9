import type { ErrorCode } from '../../domain/errors.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import { hideSecrets } from '../../platform/hide-secrets.js';
import type { DatabaseConnection } from '../engine.js';
import { quoteName } from './quote.js';

type Raised = { code?: unknown; message?: unknown; detail?: unknown };

const unreachableCodes =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|ENOENT|EACCES|57P03)$/;
const lostCodes = /^(ECONNRESET|EPIPE|57P01|57P02|57P05|08\w{3}|25P03)$/;
const certificateCodes = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|^ERR_TLS|^ERR_SSL/;

/** What a server or driver error says, on one line and without the connection's password. */
export function errorText(error: unknown, connection: DatabaseConnection): string {
  const { message, detail } = (error ?? {}) as Raised;
  const text = [message, detail].filter((part) => typeof part === 'string' && part !== '').join(' – ');
  return hideSecrets(text.replace(/\s+/g, ' ').trim() || 'no further message', [connection.password]);
}

function place(connection: DatabaseConnection): string {
  return `${connection.host}:${connection.port}`;
}

/** Turns what went wrong while connecting into the table's codes (PostgreSQL's SQLSTATE list; Node's network errors). */
export function mapConnectError(error: unknown, connection: DatabaseConnection, database: string): TidemarkError {
  if (isTidemarkError(error)) return error;
  const code = String((error as Raised)?.code ?? '');
  const text = errorText(error, connection);
  const fail = (as: ErrorCode, message: string, statement?: string) =>
    new TidemarkError(
      as,
      message,
      { object: database, ...(statement === undefined ? {} : { statement }) },
      { cause: error },
    );
  if (/no pg_hba\.conf entry.*no encryption/i.test(text))
    return fail(
      'tls_required',
      `${place(connection)} takes no unencrypted connection of ${connection.username} to ${database}: ${text}`,
    );
  if (code === '28P01' || code === '28000' || /password must be a string|SASL|SCRAM/.test(text))
    return fail('authentication_failed', `${place(connection)} refused the login of ${connection.username}: ${text}`);
  if (code === '3D000') return fail('database_missing', `${place(connection)} has no database ${quoteName(database)}.`);
  // The attribute is what lacks then, and where a provider never gives it no statement would help.
  if (code === '42501' && /WAL sender/.test(text))
    return fail(
      'privilege_missing',
      `${place(connection)} refused a replication connection of ${connection.username}: ${text}`,
    );
  if (code === '42501') {
    const statement = `GRANT CONNECT ON DATABASE ${quoteName(database)} TO ${quoteName(connection.username)};`;
    return fail(
      'privilege_missing',
      `${connection.username} may not connect to ${quoteName(database)}: ${text} Run: ${statement}`,
      statement,
    );
  }
  if (certificateCodes.test(code) || /does not support SSL|certificate|TLS|SSL/i.test(text))
    return fail('tls_required', `The TLS connection to ${place(connection)} failed: ${text}`);
  if (code === '53300' || code === '55000')
    return fail(
      'database_unreachable',
      `${place(connection)} takes no connection to ${quoteName(database)} now: ${text}`,
    );
  if (unreachableCodes.test(code) || /timeout|timed out/i.test(text))
    return fail('database_unreachable', `${place(connection)} does not answer: ${text}`);
  return fail('database_unreachable', `Connecting to ${place(connection)} failed: ${text}`);
}

/** Turns a failed statement into the table's codes; `fallback` is for what is special to the caller. */
export function mapQueryError(
  error: unknown,
  connection: DatabaseConnection,
  doing: string,
  fallback: ErrorCode,
): TidemarkError {
  if (isTidemarkError(error)) return error;
  const code = String((error as Raised)?.code ?? '');
  const text = errorText(error, connection);
  const fail = (as: ErrorCode) => new TidemarkError(as, `${doing}: ${text}`, {}, { cause: error });
  if (lostCodes.test(code) || /Connection terminated|connection is closed|not queryable|Client was closed/i.test(text))
    return fail('connection_lost');
  if (code === '42501') return fail('privilege_missing');
  if (code === '55P03') return fail('source_busy');
  if (code === '53100') return fail('insufficient_space');
  return fail(fallback);
}

/** The code for what a PostgreSQL tool wrote on stderr, or `fallback`. Tools translate nothing here: they run with LC_MESSAGES=C. */
export function toolErrorCode(stderr: string, fallback: ErrorCode): ErrorCode {
  if (/password authentication failed|no pg_hba\.conf entry|authentication method/.test(stderr))
    return 'authentication_failed';
  if (
    /could not translate host name|Connection refused|No route to host|timeout expired|could not connect to server/.test(
      stderr,
    )
  )
    return 'database_unreachable';
  if (
    /permission denied|must be (owner|superuser|member|able to SET ROLE)|row-level security policy|Only roles with/.test(
      stderr,
    )
  )
    return 'privilege_missing';
  if (/database ".*" does not exist/.test(stderr)) return 'database_missing';
  if (/unsupported version \(\S+\) in file header|aborting because of server version mismatch/.test(stderr))
    return 'server_version_unsupported';
  if (/No space left on device/.test(stderr)) return 'insufficient_space';
  if (/could not obtain lock|canceling statement due to lock timeout/.test(stderr)) return 'source_busy';
  if (
    /server closed the connection|terminating connection|connection to server was lost|SSL connection has been closed/.test(
      stderr,
    )
  )
    return 'connection_lost';
  return fallback;
}
