import { WorkflowNotFoundError } from '@temporalio/client';
import type { UsecaseContext } from '../context.js';

export type WorkflowState = 'running' | 'missing' | 'terminated' | 'closed';

/** Where the newest run of a workflow id is. `missing`: Temporal does not know it, never did or lost its data. */
export async function findWorkflow(context: UsecaseContext, workflowId: string): Promise<WorkflowState> {
  try {
    const { status } = await context.temporal.withDeadline(Date.now() + 10_000, () =>
      context.temporal.workflow.getHandle(workflowId).describe(),
    );
    if (status.name === 'RUNNING' || status.name === 'PAUSED' || status.name === 'CONTINUED_AS_NEW') return 'running';
    return status.name === 'TERMINATED' ? 'terminated' : 'closed';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'missing';
    throw error;
  }
}
