import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { WorkflowFailedError } from '@temporalio/client';
import { TidemarkError } from '../../domain/errors.js';
import type { Finding } from '../../domain/schemas/checks.js';
import { workflowTypes } from '../../workflows/messages.js';
import {
  checkDatabaseWorkflowId,
  checkDestinationWorkflowId,
  checkPolicyWorkflowId,
  priorities,
  taskQueues,
} from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { searchAttributesOf } from './search-attributes.js';

export type CheckSubject = {
  kind: 'database' | 'destination' | 'policy';
  id: string;
  name: string;
  takeOver?: boolean;
};

function workflowOf({ kind, id, takeOver }: CheckSubject, nonce: string) {
  switch (kind) {
    case 'database':
      return {
        type: workflowTypes.checkDatabase,
        workflowId: checkDatabaseWorkflowId(id, nonce),
        args: [{ databaseId: id }],
        attributes: { databaseId: id, planId: null, kind: 'check' },
      };
    case 'destination':
      return {
        type: workflowTypes.checkDestination,
        workflowId: checkDestinationWorkflowId(id, nonce),
        args: [{ destinationId: id, takeOver: takeOver === true }],
        attributes: { databaseId: null, planId: null, kind: 'check' },
      };
    case 'policy':
      return {
        type: workflowTypes.checkPolicy,
        workflowId: checkPolicyWorkflowId(id, nonce),
        args: [{ policyId: id }],
        attributes: { databaseId: null, planId: null, policyId: id, kind: 'check' },
      };
  }
}

async function start(context: UsecaseContext, subject: CheckSubject): Promise<WorkflowHandle> {
  const { type, workflowId, args, attributes } = workflowOf(subject, randomUUID().slice(0, 8));
  return await context.temporal.withDeadline(Date.now() + 5_000, () =>
    context.temporal.workflow.start(type, {
      workflowId,
      taskQueue: taskQueues.control,
      args,
      // Nobody waits longer; a check that no worker takes must not run hours later and overwrite a newer one.
      workflowExecutionTimeout: '2 minutes',
      priority: { priorityKey: priorities.manual },
      staticSummary: `Check ${subject.kind} ${subject.name}`,
      ...searchAttributesOf(context, attributes),
    }),
  );
}

/** Starts a check whose result nobody waits for: after creating or changing the object. */
export async function startCheck(context: UsecaseContext, subject: CheckSubject): Promise<void> {
  try {
    await start(context, subject);
  } catch (error) {
    context.logger.warn({ err: error, object: subject.id }, 'The check after the change could not be started');
  }
}

/** A check whose result was not kept, because the object was given another address or other credentials while it ran. */
export function changedMeanwhile(subject: CheckSubject): Finding {
  return {
    severity: 'refuses',
    code: 'changed_meanwhile',
    message: `${subject.name} was changed while it was checked; check it again.`,
    statement: null,
  };
}

/**
 * Runs a check on a worker and waits for it. Returns null when it ran (the row holds what was found) or a finding that says why no
 * result came in time. Throws `service_unavailable` when Temporal does not take the start.
 */
export async function runCheck(context: UsecaseContext, subject: CheckSubject): Promise<Finding | null> {
  // Counted from here: the answer is promised in so much time, whatever part of it the start takes.
  const limit = AbortSignal.timeout(context.options.checkTimeoutMs);
  let handle: WorkflowHandle;
  try {
    handle = await start(context, subject);
  } catch (cause) {
    throw new TidemarkError(
      'service_unavailable',
      `The check of ${subject.id} could not be started because Temporal does not answer.`,
      { object: subject.id },
      { cause },
    );
  }
  try {
    await context.temporal.withAbortSignal(limit, () => handle.result());
    return null;
  } catch (error) {
    const seconds = Math.round(context.options.checkTimeoutMs / 1000);
    if (limit.aborted) {
      return {
        severity: 'refuses',
        code: 'check_timed_out',
        message: `The check of ${subject.name} gave no result within ${seconds} s: no worker is free, or the server does not answer.`,
        statement: null,
      };
    }
    if (error instanceof WorkflowFailedError) {
      return {
        severity: 'refuses',
        code: 'check_failed',
        message: `The check of ${subject.name} ended without a result; the log of the worker says why.`,
        statement: null,
      };
    }
    throw new TidemarkError(
      'service_unavailable',
      `The result of the check of ${subject.id} cannot be read because Temporal does not answer.`,
      { object: subject.id },
      { cause: error },
    );
  }
}
