/** JSON log lines without secrets. */
import type { DestinationStream, Logger as PinoLogger } from 'pino';
import { pino, stdTimeFunctions } from 'pino';
import type { LogLevel } from '../config.js';
import { HIDDEN, hideSecrets } from './hide-secrets.js';

export type Logger = PinoLogger;

/** Names of fields that are never written, wherever they stand in the first three levels of a line. */
const SECRET_FIELDS = [
  'password',
  'adminPassword',
  'secret',
  'secretAccessKey',
  'accessKeyId',
  'token',
  'tokenHash',
  'authorization',
  'cookie',
  'masterKey',
  'apiKey',
  'databaseUrl',
  'smtpUrl',
  'connectionString',
  'PGPASSWORD',
  'MYSQL_PWD',
];

export type LoggerOptions = {
  readonly level: LogLevel;
  /** Which part of Tidemark speaks: `api`, `worker`, `up`. */
  readonly name: string;
  /** Secrets known by value; never written, whatever field or text they stand in. */
  readonly redact?: readonly string[];
  /** Default: standard output. */
  readonly destination?: DestinationStream;
};

/**
 * A logger whose lines carry no secret that is recognised by the name of its field, by its place in an address
 * (`scheme://user:password@host`), or by its value.
 */
export function createLogger(options: LoggerOptions): Logger {
  const secrets = options.redact ?? [];
  return pino(
    {
      level: options.level,
      base: { name: options.name, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`, `*.headers["${field}"]`]),
        censor: HIDDEN,
      },
      serializers: { err: describeError, error: describeError },
      hooks: { streamWrite: (line) => hideSecrets(line, secrets) },
    },
    ...(options.destination ? [options.destination] : []),
  );
}

type DescribedError = {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: DescribedError;
};

/**
 * Only the fields that explain an error. Drivers hang whole requests on theirs: the statement with its values (mysql2 `sql`), the row that
 * broke a constraint (pg `detail`), the signed headers (AWS `$response`).
 */
export function describeError(error: unknown, depth = 0): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const code = (error as { code?: unknown }).code;
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
    ...(error.stack ? { stack: error.stack } : {}),
    ...(error.cause !== undefined && depth < 4 ? { cause: describeError(error.cause, depth + 1) } : {}),
  };
}
