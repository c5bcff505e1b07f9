import { backupErrors } from './errors/backups.js';
import { databaseErrors } from './errors/databases.js';
import { notificationErrors } from './errors/notifications.js';
import { policyErrors } from './errors/policies.js';
import { requestErrors } from './errors/requests.js';
import { restoreErrors } from './errors/restores.js';
import type { ErrorRow } from './errors/row.js';
import { storageErrors } from './errors/storage.js';
import type { LogPosition } from './positions.js';

/**
 * The one error table (design section 8). Activities throw these; workflows decide by code, never by text; the API turns them into
 * RFC 9457 problem documents; `docs/errors/<code>.md` is generated from it.
 *
 * `retryable`: may the same step succeed later without a person doing something? Workflows retry only these.
 * `tell`: who has to know: the caller of the request, the owner of the database, or the operator of the installation.
 * `remedy`: what the reader can do next, as one sentence.
 *
 * Its parts lie in `errors/`, one file per area; a new code goes there.
 */
export const errorTable = {
  ...requestErrors,
  ...databaseErrors,
  ...backupErrors,
  ...storageErrors,
  ...restoreErrors,
  ...notificationErrors,
  ...policyErrors,
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** One wrong field of a request: JSON pointer or query name, and what it takes. */
export type FieldError = { readonly field: string; readonly message: string };

export type ErrorDetails = {
  /** Object the error is about: an id, a table, an object key. */
  readonly object?: string;
  readonly fields?: readonly FieldError[];
  /** Statement an administrator can run to grant what is missing. */
  readonly statement?: string;
  /** Ids of rows in the way (running backup, references). */
  readonly references?: readonly string[];
  readonly retryAfterSeconds?: number;
  /** Of `log_gap`: the last position that can be stored, and the first from which the source has its log again; null when not known. */
  readonly gap?: { readonly from: LogPosition; readonly to: LogPosition | null };
};

/** The only error type that leaves a use case or an activity. Its message must be fit for the user: no secrets, what failed and on which object. */
export class TidemarkError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'TidemarkError';
    this.code = code;
    this.details = details;
  }
}

export function isTidemarkError(error: unknown): error is TidemarkError {
  return error instanceof TidemarkError;
}

export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(errorTable, value);
}

/** The form in which an error is kept on a row and shown by the API (`error: {code, message}`). */
export type RecordedError = { readonly code: ErrorCode; readonly message: string };

/** Turns anything thrown into what may be recorded; unknown errors become `internal` without their text, which could hold a secret. */
export function toRecordedError(error: unknown): RecordedError {
  if (isTidemarkError(error)) return { code: error.code, message: error.message };
  return { code: 'internal', message: errorTable.internal.title };
}
