import { ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';
import type { ErrorCode } from '../domain/errors.js';
import { errorTable, isErrorCode } from '../domain/errors.js';
import type { RunError } from './activity-types.js';

/** Follows `cause` to the failure that says something; the SDK wraps an activity's failure in an `ActivityFailure`. */
function innermost(error: unknown): unknown {
  let current = error;
  while (current instanceof Error && !(current instanceof ApplicationFailure) && !(current instanceof TimeoutFailure)) {
    if (current.cause === undefined || current.cause === null) break;
    current = current.cause;
  }
  return current;
}

/** What is recorded about a failed step: a code of the closed table and a sentence for the user. Decided by type, never by text. */
export function toRunError(error: unknown): RunError {
  if (isCancellation(error)) return { code: 'cancelled', message: 'The run was cancelled.' };
  const inner = innermost(error);
  if (inner instanceof ApplicationFailure) {
    const code = inner.type ?? '';
    if (isErrorCode(code)) return { code, message: inner.message };
    return { code: 'internal', message: errorTable.internal.title };
  }
  if (inner instanceof TimeoutFailure) {
    if (inner.timeoutType === 'HEARTBEAT') {
      return {
        code: 'worker_lost',
        message: 'The worker that did this step stopped answering (killed, out of memory, or its host is gone).',
      };
    }
    return {
      code: 'worker_lost',
      message: 'The step did not end within the time it has; its worker is gone or hangs.',
    };
  }
  return { code: 'internal', message: errorTable.internal.title };
}

/** The failure with which a run closes. Always an ApplicationFailure: a plain error would retry the workflow task for ever. */
export function closeAsFailed(error: RunError): ApplicationFailure {
  return ApplicationFailure.create({ type: error.code, message: error.message, nonRetryable: true });
}

export function isRetryable(code: ErrorCode): boolean {
  return errorTable[code].retryable;
}
