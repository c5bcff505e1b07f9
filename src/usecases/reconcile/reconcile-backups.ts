import { findActiveBackups, settleLostBackup } from '../../catalog/reconcile-rows.js';
import { chainRunKey } from '../../catalog/runs/claim-chain.js';
import { countFailure } from '../../catalog/runs/count-runs.js';
import { backupWorkflowId } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { cancelRun } from '../runs/cancel-run.js';
import { startBackupRun } from '../runs/start-run.js';
import { wakeChain } from '../runs/wake-chain.js';
import type { WorkflowState } from './find-workflow.js';
import { findWorkflow } from './find-workflow.js';
import type { PassResult } from './pass-result.js';
import type { LostRun } from './settle-lost-run.js';
import { settleLostRun } from './settle-lost-run.js';

type Row = Awaited<ReturnType<typeof findActiveBackups>>[number];

/** A row this young may still be on its way to Temporal with the request that made it. */
const YOUNG_MS = 10_000;

/** Brings every pending or running backup row and its workflow together again. */
export async function reconcileBackups(context: UsecaseContext, result: PassResult): Promise<void> {
  for (const row of await findActiveBackups(context.catalog.prisma)) {
    await result.attempt(`backup ${row.id}`, () => reconcileOne(context, row, result));
  }
}

async function reconcileOne(context: UsecaseContext, row: Row, result: PassResult): Promise<void> {
  const workflowId = backupWorkflowId(row.id);
  const state = await findWorkflow(context, workflowId);
  if (state === 'running') {
    // The request that noted the wish may not have reached Temporal; asking twice changes nothing.
    if (row.cancelRequestedAt !== null) await cancelRun(context, workflowId);
    return;
  }
  if (state === 'missing' && Date.now() - row.createdAt.getTime() < YOUNG_MS) return;
  const lost = {
    object: 'backup',
    id: row.id,
    settle: (tx, to) => settleLostBackup(tx, row, to),
  } satisfies Partial<LostRun>;
  if (row.status === 'pending' && row.cancelRequestedAt !== null) {
    const message = 'The backup was cancelled before it began.';
    await settleLostRun(context, { ...lost, status: 'cancelled', message }, result);
    return;
  }
  if (shouldStart(row, state)) {
    if (row.chain !== null) {
      // Its turn comes with the chain entity, which runs one backup of its server at a time, also one that was lost. A full that waits
      // behind another run needs no reminder.
      if (row.activeKey === chainRunKey(row.chain.id)) await wakeChain(context, row.chain);
      return;
    }
    await startBackupRun(context, {
      id: row.id,
      kind: row.kind,
      databaseId: row.databaseId,
      planId: row.planId,
      trigger: row.trigger === 'manual' ? 'manual' : 'schedule',
      labels: { databaseName: row.database.name, planName: row.plan?.name ?? null },
    });
    result.note('runsStarted', row.id);
    // A new run learns of the wish at once and cleans up what the lost one left.
    if (row.cancelRequestedAt !== null) await cancelRun(context, workflowId);
    return;
  }
  const how = state === 'terminated' ? 'was terminated in Temporal' : 'closed without a result';
  const message = `The workflow of backup ${row.id} ${how}. Nothing of it counts; start the backup again.`;
  await settleLostRun(context, { ...lost, status: 'failed', message }, result);
  if (row.chain === null) return;
  // Its chain does this for the runs that it waits for, and may have been ended too.
  await countFailure(context.catalog, { backupId: row.id });
  await wakeChain(context, row.chain);
}

/**
 * `missing`: never started, or Temporal lost its data. The new run begins a new attempt, which fences the old one and adopts a manifest
 * that was published already. A closed one starts again only when it had begun to publish: the backup may exist, and only its row not know.
 */
function shouldStart(row: Row, state: WorkflowState): boolean {
  if (state === 'missing') return true;
  const { progress } = row;
  const phase = typeof progress === 'object' && progress !== null && 'phase' in progress ? progress.phase : null;
  return row.status === 'in_progress' && (phase === 'publishing' || row.cancelRequestedAt !== null);
}
