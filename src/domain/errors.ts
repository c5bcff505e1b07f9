import type { LogPosition } from './positions.js';

/**
 * The one error table (design section 8). Activities throw these; workflows decide by code, never by text; the API turns them into
 * RFC 9457 problem documents; `docs/errors/<code>.md` is generated from it.
 *
 * `retryable`: may the same step succeed later without a person doing something? Workflows retry only these.
 * `tell`: who has to know: the caller of the request, the owner of the database, or the operator of the installation.
 * `remedy`: what the reader can do next, as one sentence.
 */
type Row = {
  readonly status: number;
  readonly retryable: boolean;
  readonly tell: 'caller' | 'owner' | 'operator';
  readonly title: string;
  readonly remedy: string;
};

const row = (status: number, retryable: boolean, tell: Row['tell'], title: string, remedy: string): Row => ({
  status,
  retryable,
  tell,
  title,
  remedy,
});

export const errorTable = {
  // requests
  invalid_request: row(400, false, 'caller', 'The request is not valid', 'Correct the named fields and send it again.'),
  invalid_cursor: row(
    400,
    false,
    'caller',
    'The cursor does not belong to this list',
    'Start the list again without a cursor.',
  ),
  unauthenticated: row(
    401,
    false,
    'caller',
    'Authentication is missing or not valid',
    'Send a valid bearer token or sign in again.',
  ),
  forbidden: row(
    403,
    false,
    'caller',
    'This token or role may not do that',
    'Use a token with the named scope or ask an administrator.',
  ),
  not_found: row(
    404,
    false,
    'caller',
    'There is no such object',
    'Check the id; objects of other users are not shown.',
  ),
  method_not_allowed: row(
    405,
    false,
    'caller',
    'This method is not offered here',
    'See the API docs for the methods of this address.',
  ),
  conflict: row(
    409,
    false,
    'caller',
    'The request conflicts with the present state',
    'Read the named object and decide again.',
  ),
  still_referenced: row(
    409,
    false,
    'caller',
    'The object is still referenced',
    'Delete or change the named references first.',
  ),
  run_in_progress: row(
    409,
    false,
    'caller',
    'A run of this database is pending or in progress',
    'Wait for the named run or cancel it.',
  ),
  payload_too_large: row(413, false, 'caller', 'The request body is too large', 'Send at most 1 MiB of JSON.'),
  unsupported_media_type: row(415, false, 'caller', 'The body is not JSON', 'Send the body as application/json.'),
  not_supported: row(
    422,
    false,
    'caller',
    'This engine or build does not support that',
    'See the capabilities of the database for what is possible.',
  ),
  destination_required: row(
    422,
    false,
    'caller',
    'The database has no destination',
    'Name a plan, or attach the database to a policy.',
  ),
  idempotency_key_reused: row(
    422,
    false,
    'caller',
    'The idempotency key was used with another body',
    'Send a new Idempotency-Key.',
  ),
  backup_not_restorable: row(
    422,
    false,
    'caller',
    'Only a completed backup can be restored or downloaded',
    'Choose a completed backup.',
  ),
  target_required: row(
    422,
    false,
    'caller',
    'The restore has no target',
    'Name a target: original, server, or a connection.',
  ),
  confirmation_required: row(
    422,
    false,
    'caller',
    'Restoring over the original needs confirmation',
    'Send confirmOverwrite: true (and overwrite: true where the database is not empty), or restore under another name.',
  ),
  rate_limited: row(429, true, 'caller', 'Too many requests', 'Wait for the time in Retry-After.'),
  internal: row(
    500,
    true,
    'operator',
    'An unexpected error',
    'Look up the request id in the service log and report it.',
  ),
  service_unavailable: row(
    503,
    true,
    'operator',
    'A component of the service does not answer',
    'See GET /readyz; the request can be sent again.',
  ),

  // source and target databases
  database_unreachable: row(
    422,
    true,
    'owner',
    'The database server does not answer',
    'Check host, port, network and whether the server runs.',
  ),
  host_not_allowed: row(
    422,
    false,
    'caller',
    'This host may not be contacted',
    'Use another host or change the allow and deny lists.',
  ),
  authentication_failed: row(
    422,
    false,
    'owner',
    'The database server refused the user name or password',
    'Correct the credentials of the database.',
  ),
  tls_required: row(
    422,
    false,
    'owner',
    'The TLS connection could not be made as asked',
    'Check the tls settings and the certificate of the server.',
  ),
  database_missing: row(
    422,
    false,
    'owner',
    'The server has no database of that name',
    'Correct the database name or create it.',
  ),
  privilege_missing: row(
    422,
    false,
    'owner',
    'The database role lacks a privilege',
    'Run, as an administrator, the statement in the message or in the findings of a check of the database.',
  ),
  server_version_unsupported: row(
    422,
    false,
    'owner',
    'This server version is not supported here',
    'Install the tools of that major version or use a supported server.',
  ),
  invalid_configuration: row(
    500,
    false,
    'operator',
    'The configuration is not valid',
    'Correct what the message names and start again.',
  ),
  component_failed: row(
    503,
    true,
    'operator',
    'A component that Tidemark runs does not start or keeps ending',
    'Read the end of its log, named in the message.',
  ),
  already_running: row(
    409,
    false,
    'operator',
    'Another Tidemark uses this folder',
    'Stop the other one, or choose another TIDEMARK_HOME.',
  ),
  tools_missing: row(
    422,
    false,
    'operator',
    'No installed tool matches the server',
    'Run `npm run doctor` to see how to install the missing tools.',
  ),
  server_identity_changed: row(
    422,
    false,
    'owner',
    'Another server answers at this address',
    'Register the new server as a database of its own.',
  ),
  source_busy: row(
    422,
    true,
    'owner',
    'The source did not grant the short lock in time',
    'Run again when no statement runs longer than 5 s.',
  ),
  source_changed_during_dump: row(
    422,
    true,
    'owner',
    'The source was altered during the dump',
    'Run the backup again when no schema change and no restore over it runs.',
  ),
  connection_lost: row(
    422,
    true,
    'owner',
    'The database connection broke',
    'The run is retried; check the network and the server log when it repeats.',
  ),

  // backups
  dump_failed: row(
    422,
    true,
    'owner',
    'The dump tool failed',
    'Read the tool message in the error and correct its cause.',
  ),
  dump_incomplete: row(
    422,
    true,
    'owner',
    'The dump ended without its end marker',
    'The attempt was thrown away; run the backup again.',
  ),
  fenced: row(
    409,
    false,
    'operator',
    'A newer attempt has taken over',
    'Nothing to do: the newer attempt decides the result.',
  ),
  worker_lost: row(422, true, 'operator', 'The worker died while it worked', 'The step is retried by another worker.'),
  workflow_lost: row(
    422,
    false,
    'operator',
    'The workflow of this run is gone or closed without a result',
    'Start the run again.',
  ),

  // destinations and stored objects
  destination_unreachable: row(
    422,
    true,
    'owner',
    'The destination does not answer',
    'Check the endpoint, the network and the store.',
  ),
  destination_denied: row(
    422,
    false,
    'owner',
    'The destination refused the credentials or the permission',
    'Correct the keys or grant the named action.',
  ),
  destination_missing: row(
    422,
    false,
    'owner',
    'The bucket or directory does not exist',
    'Create it or correct its name.',
  ),
  destination_not_mounted: row(
    422,
    false,
    'owner',
    'The directory has lost its content, as when its disk or share is not mounted',
    'Mount the disk or share again and check the destination. If the folder was emptied on purpose, POST /v1/destinations/{id}/take-over as an administrator.',
  ),
  destination_full: row(
    422,
    true,
    'owner',
    'The destination has no space left',
    'Free space or enlarge the destination.',
  ),
  destination_disabled: row(
    422,
    false,
    'owner',
    'The destination is disabled',
    'Enable the destination and try again.',
  ),
  destination_deleted: row(
    422,
    false,
    'owner',
    'The destination was deleted',
    'Its objects are where they were: `tidemark extract` reads them with the destination and a key.',
  ),
  destination_owned_by_other: row(
    409,
    false,
    'operator',
    'Another installation writes to this destination',
    'Use another prefix; or, when the other installation writes no more, POST /v1/destinations/{id}/take-over as an administrator.',
  ),
  path_not_allowed: row(
    422,
    false,
    'caller',
    'The path is outside the configured roots',
    'Use a path under TIDEMARK_DIRECTORY_ROOTS.',
  ),
  object_missing: row(
    422,
    false,
    'owner',
    'A stored object is missing',
    'The backup is not usable; choose another one.',
  ),
  object_corrupt: row(
    422,
    false,
    'owner',
    'A stored object is not what was written',
    'The backup is not usable; choose another one and check the store.',
  ),
  manifest_missing: row(
    422,
    false,
    'owner',
    'The manifest of the backup is missing',
    'The backup is not usable; choose another one.',
  ),
  manifest_forged: row(
    422,
    false,
    'operator',
    'The manifest fails its authentication',
    'Do not use the backup; find out who changed the store.',
  ),
  manifest_exists: row(
    409,
    false,
    'operator',
    'A manifest was already published for this backup',
    'Nothing to do: the published attempt counts.',
  ),

  // keys
  wrong_master_key: row(
    500,
    false,
    'operator',
    'The master key does not open this installation',
    'Start with the master key this installation was made with.',
  ),
  master_key_invalid: row(
    500,
    false,
    'operator',
    'The master key cannot be read',
    'Put the saved master key in place, readable by the service alone.',
  ),
  key_missing: row(
    422,
    false,
    'operator',
    'The wrapping key of this object is not known',
    'Import the exported wrapping key or use the right master key.',
  ),
  secret_missing: row(422, false, 'operator', 'A stored secret is gone', 'Enter the credentials again.'),

  // restores
  target_exists: row(
    409,
    false,
    'caller',
    'The target already exists',
    'Choose another name, or send overwrite: true.',
  ),
  target_not_empty: row(
    409,
    false,
    'caller',
    'The target database is not empty',
    'Choose an empty database, or send overwrite: true.',
  ),
  target_in_use_outside: row(
    409,
    false,
    'owner',
    'Objects outside the target depend on it',
    'Remove the named foreign keys or slots, or restore under another name.',
  ),
  insufficient_space: row(
    422,
    false,
    'operator',
    'There is not enough space for the restore',
    'Free the named amount, or restore elsewhere.',
  ),
  load_failed: row(
    422,
    true,
    'owner',
    'Loading the backup into the staging database failed',
    'Read the tool message; the target was not touched.',
  ),
  restore_mismatch: row(
    422,
    false,
    'owner',
    'The restored content differs from the backup',
    'See the named differences; the message says what became of the target.',
  ),
  roles_missing: row(
    422,
    false,
    'owner',
    'The target server lacks roles that the backup names',
    'Run the CREATE ROLE statements given in the message there, then restore again.',
  ),
  extensions_missing: row(
    422,
    false,
    'owner',
    'The target server lacks extensions that the backup needs',
    'Install the named extensions on the host of the target server, then restore again.',
  ),
  swap_failed: row(
    422,
    true,
    'owner',
    'Putting the restored database in place failed',
    'The previous content was put back; see the message.',
  ),
  previous_gone: row(409, false, 'caller', 'The previous content is no longer kept', 'Restore from a backup instead.'),
  cancelled: row(409, false, 'caller', 'The run was cancelled', 'Start a new run.'),

  // notifications
  mail_failed: row(
    422,
    true,
    'operator',
    'The mail server did not take the message',
    'Check SMTP_URL; the message is retried.',
  ),
  mail_refused: row(
    422,
    false,
    'operator',
    'The mail server refused the message for good',
    'Correct the e-mail address of the user, or what the mail server says about the sender (SMTP_FROM).',
  ),

  // policies, chains, log archives, recovery
  already_attached: row(
    409,
    false,
    'caller',
    'Database is already attached to another backup policy',
    'Detach it from the named policy first.',
  ),
  policy_not_active: row(
    409,
    false,
    'caller',
    'The policy is not active',
    'Resume it, or read its last error and check it again.',
  ),
  physical_forbidden: row(
    422,
    false,
    'owner',
    'The server does not allow what a policy needs',
    'Run the named statements, or protect the database by a plan with dumps.',
  ),
  acceptance_required: row(
    422,
    false,
    'owner',
    'Something would be left out of recovery',
    'Change what is named, or accept each by its name.',
  ),
  incremental_impossible: row(
    409,
    false,
    'owner',
    'No incremental is possible on this parent',
    'Nothing to do: a full is taken instead.',
  ),
  log_gap: row(
    500,
    false,
    'owner',
    'The log archive has a gap',
    'Nothing to do: a full is taken at once. Find out why the server dropped its log, and let it keep more.',
  ),
  log_not_kept: row(
    422,
    false,
    'owner',
    'The server does not keep its log for Tidemark',
    'Run the named statement and retry the PITR configuration.',
  ),
  spool_full: row(
    500,
    true,
    'operator',
    'The spool for logs is full',
    'Free space, or raise the limit; archiving goes on by itself.',
  ),
  outside_window: row(
    422,
    false,
    'caller',
    'The point lies outside the recovery window',
    'Choose a point inside the named window.',
  ),
  position_ambiguous: row(
    422,
    false,
    'caller',
    'The position lies on several timelines',
    'Give a time instead: each of the named timelines covers its own.',
  ),
  recovery_incomplete: row(
    500,
    false,
    'owner',
    'Recovery ended before the wanted point',
    'Choose an earlier point, and check the archive for gaps.',
  ),
  sandbox_failed: row(
    500,
    true,
    'operator',
    'The sandbox did not start or stopped',
    'Read the message; the sandbox needs the same major version, locales and extensions as the server.',
  ),
  sandbox_space: row(
    507,
    false,
    'operator',
    'There is not enough space for a sandbox',
    'Free the named amount on the worker, or restore on a worker with more.',
  ),
} as const satisfies Record<string, Row>;

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
