import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ApplicationFailure, activityInfo, CancelledFailure, Context } from '@temporalio/activity';
import { isCatalogUnavailable } from '../catalog/unavailable.js';
import { errorTable, isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { ActivityDeps } from './deps.js';

/** How often a running step shows that it lives. Well below every heartbeat timeout of the options table. */
const HEARTBEAT_MS = 2_000;

export type Step = {
  /** Aborts on cancel, on shutdown of the worker, and when the server no longer knows this attempt. */
  readonly signal: AbortSignal;
  /** Private 0700 folder of this attempt; removed when the step ends. */
  readonly scratchDir: string;
  /** What the next heartbeats carry; shown by the Web UI at the pending activity. */
  report(details: unknown): void;
};

/**
 * Runs the body of a long activity: heartbeats by a timer (an engine that is silent for an hour is still alive), hands over
 * cancellation, gives a scratch folder, and turns every error into a failure that workflows decide on by code.
 */
export async function runStep<T>(deps: ActivityDeps, name: string, body: (step: Step) => Promise<T>): Promise<T> {
  const context = Context.current();
  const signal = context.cancellationSignal;
  const info = activityInfo();
  let details: unknown = { step: name };
  const timer = setInterval(() => context.heartbeat(details), HEARTBEAT_MS);
  context.heartbeat(details);
  let scratchDir: string | null = null;
  try {
    signal.throwIfAborted();
    await mkdir(deps.options.scratchRoot, { recursive: true, mode: 0o700 });
    scratchDir = await mkdtemp(join(deps.options.scratchRoot, `${name}-`));
    return await body({
      signal,
      scratchDir,
      report: (next) => {
        details = next;
      },
    });
  } catch (error) {
    const failure = toFailure(error, signal);
    const run = { workflowId: info.workflowExecution?.workflowId, step: name, attempt: info.attempt };
    if (failure instanceof CancelledFailure) deps.logger.info(run, 'step cancelled');
    else deps.logger.warn({ ...run, code: failure.type, err: error }, 'step failed');
    throw failure;
  } finally {
    clearInterval(timer);
    if (scratchDir !== null) await rm(scratchDir, { recursive: true, force: true }).catch(() => {});
  }
}

/** For steps of a few statements: errors mapped, nothing else. */
export async function runShort<T>(deps: ActivityDeps, name: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    const failure = toFailure(error, Context.current().cancellationSignal);
    if (!(failure instanceof CancelledFailure)) {
      deps.logger.warn({ step: name, code: failure.type, err: error }, 'step failed');
    }
    throw failure;
  }
}

/**
 * A step that was told to stop fails in whatever way its tools fail when they are killed: the reason is the stop, not the tool.
 * A stopping worker is a lost worker: the next attempt runs elsewhere.
 */
function toFailure(error: unknown, signal: AbortSignal): ApplicationFailure | CancelledFailure {
  if (signal.aborted) {
    const reason: unknown = signal.reason;
    if (reason instanceof CancelledFailure && reason.message !== 'WORKER_SHUTDOWN') return reason;
    return failureOf(new TidemarkError('worker_lost', 'The worker was stopped while it worked on this step.'));
  }
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (isTidemarkError(error)) return failureOf(error);
  if (isCatalogUnavailable(error)) {
    return failureOf(new TidemarkError('service_unavailable', 'The catalog does not answer.'));
  }
  // An unknown error's text may hold a secret (a connection string, a statement); the worker's own log has it, redacted.
  return failureOf(new TidemarkError('internal', errorTable.internal.title));
}

function failureOf(error: TidemarkError): ApplicationFailure {
  return ApplicationFailure.create({
    type: error.code,
    message: error.message,
    nonRetryable: !errorTable[error.code].retryable,
    details: [error.details],
  });
}
