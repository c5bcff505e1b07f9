import { WorkflowNotFoundError } from '@temporalio/client';
import type { UsecaseContext } from '../context.js';

/**
 * Passes a cancel on to a workflow. The wish stands on the row already, so a Temporal that does not answer, or a workflow that is not
 * there yet, only delays it until the reconcile loop looks.
 */
export async function cancelRun(context: UsecaseContext, workflowId: string): Promise<void> {
  try {
    await context.temporal.withDeadline(Date.now() + 5_000, () =>
      context.temporal.workflow.getHandle(workflowId).cancel(),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return;
    context.logger.warn(
      { err: error, workflowId },
      'Temporal did not take the cancel; the reconcile loop will repeat it',
    );
  }
}
