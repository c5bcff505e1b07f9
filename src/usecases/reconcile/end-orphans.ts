import { WorkflowNotFoundError } from '@temporalio/client';
import { findExistingRuns } from '../../catalog/reconcile-rows.js';
import { workflowTypes } from '../../workflows/messages.js';
import type { UsecaseContext } from '../context.js';
import type { PassResult } from './pass-result.js';

/** How long a workflow without a row may take to end by itself after its cancel. */
const TERMINATE_AFTER_MS = 2 * 60_000;

const types = [
  workflowTypes.backup,
  workflowTypes.restore,
  workflowTypes.revert,
  workflowTypes.deleteBackup,
  workflowTypes.chain,
  workflowTypes.archive,
  workflowTypes.attach,
  workflowTypes.detach,
  workflowTypes.notify,
  workflowTypes.cleanUpSource,
];
const query = `ExecutionStatus = 'Running' AND WorkflowType IN (${types.map((type) => `'${type}'`).join(', ')})`;

/** When each orphan was asked to end; kept over the passes of one process. */
export type Orphans = Map<string, number>;

/**
 * Ends runs whose row does not exist, as after the catalog was put back to yesterday: first by a cancel, so that children are ended
 * and staging databases dropped, then, when that does not help, by force. The listing is read before the rows: a run started in
 * between has had its row first.
 */
export async function endOrphans(context: UsecaseContext, orphans: Orphans, result: PassResult): Promise<void> {
  const running = await context.temporal.withDeadline(Date.now() + 30_000, async () => {
    const ids: string[] = [];
    for await (const execution of context.temporal.workflow.list({ query })) ids.push(execution.workflowId);
    return ids;
  });
  // `<type>/<id>`, or of an entity `<type>/<policy>/<server>`.
  const rowIds = running.map((workflowId) => workflowId.slice(workflowId.indexOf('/') + 1));
  const existing = await findExistingRuns(context.catalog.prisma, rowIds);
  const without = running.filter((_, index) => !existing.has(rowIds[index] ?? ''));
  for (const known of orphans.keys()) if (!without.includes(known)) orphans.delete(known);
  for (const workflowId of without) {
    await result.attempt(`workflow ${workflowId}`, () => endOne(context, orphans, workflowId, result));
  }
}

async function endOne(
  context: UsecaseContext,
  orphans: Orphans,
  workflowId: string,
  result: PassResult,
): Promise<void> {
  const asked = orphans.get(workflowId);
  const handle = context.temporal.workflow.getHandle(workflowId);
  if (asked !== undefined && Date.now() - asked < TERMINATE_AFTER_MS) return;
  try {
    await context.temporal.withDeadline(Date.now() + 5_000, async () => {
      if (asked === undefined) await handle.cancel();
      else await handle.terminate('The catalog has no row for this run.');
    });
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
  }
  orphans.set(workflowId, asked ?? Date.now());
  result.note(asked === undefined ? 'runsCancelled' : 'workflowsEnded', workflowId);
}
