import { recordAudit } from '../../catalog/audit-events.js';
import {
  findActiveRestores,
  findActiveReverts,
  releaseRevert,
  settleLostRestore,
} from '../../catalog/reconcile-rows.js';
import { requestRestoreCancel } from '../../catalog/restores.js';
import { deleteSecretsOfRestore } from '../../catalog/secrets.js';
import { restoreWorkflowId, revertWorkflowId } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { cancelRun } from '../runs/cancel-run.js';
import type { RestoreRun } from '../runs/start-run.js';
import { startRestoreRun, startRevertRun } from '../runs/start-run.js';
import { findWorkflow } from './find-workflow.js';
import type { PassResult } from './pass-result.js';
import type { LostRun } from './settle-lost-run.js';
import { settleLostRun } from './settle-lost-run.js';

type Row = Awaited<ReturnType<typeof findActiveRestores>>[number];

/** A row this young may still be on its way to Temporal with the request that made it. */
const YOUNG_MS = 10_000;

/** Brings every active restore and revert and its workflow together again. */
export async function reconcileRestores(context: UsecaseContext, result: PassResult): Promise<void> {
  for (const row of await findActiveRestores(context.catalog.prisma)) {
    await result.attempt(`restore ${row.id}`, () => reconcileOne(context, row, result));
  }
  for (const row of await findActiveReverts(context.catalog.prisma)) {
    await result.attempt(`revert of ${row.id}`, () => reconcileRevert(context, row, result));
  }
}

function runOf(row: Row): RestoreRun {
  return {
    id: row.id,
    databaseId: row.databaseId,
    planId: row.planId,
    targetName: row.targetName,
    policyId: row.policyId,
    labels: { databaseName: row.database.name, planName: row.backup.plan?.name ?? null },
  };
}

async function reconcileOne(context: UsecaseContext, row: Row, result: PassResult): Promise<void> {
  const workflowId = restoreWorkflowId(row.id);
  const state = await findWorkflow(context, workflowId);
  if (state === 'running') {
    if (row.cancelRequestedAt !== null) await cancelRun(context, workflowId);
    return;
  }
  if (state === 'missing' && Date.now() - row.createdAt.getTime() < YOUNG_MS) return;
  if (row.status === 'pending' && (state !== 'missing' || row.cancelRequestedAt !== null)) {
    const cancelled = row.cancelRequestedAt !== null;
    const message = cancelled
      ? 'The restore was cancelled before it began; the target was not touched.'
      : `The workflow of restore ${row.id} ended before it began; the target was not touched. Start the restore again.`;
    const settle: LostRun['settle'] = async (tx, to) => {
      if (!(await settleLostRestore(tx, row, to))) return false;
      await deleteSecretsOfRestore(tx, row.id);
      return true;
    };
    const status = cancelled ? 'cancelled' : 'failed';
    await settleLostRun(context, { object: 'restore', id: row.id, status, message, settle }, result);
    return;
  }
  // Only a workflow knows how to leave a target server: it finishes or undoes a begun swap and drops the staging database. Where
  // somebody ended the old one, the new one is told to give up as soon as nothing is half done.
  if (state !== 'missing' && row.cancelRequestedAt === null) {
    await requestRestoreCancel(context.catalog.prisma, row.id);
    await recordAudit(context.catalog.prisma, null, 'restore.workflow_lost', row.id, { workflow: state });
  }
  await startRestoreRun(context, runOf(row));
  result.note('runsStarted', row.id);
}

/** A revert ends with `revertedAt` or `revertError`; without either its workflow has to run, again if need be, because a swap may be half done. */
async function reconcileRevert(context: UsecaseContext, row: Row, result: PassResult): Promise<void> {
  if (row.revertedAt !== null || row.revertError !== null) {
    await releaseRevert(context.catalog.prisma, row.id);
    result.note('runsSettled', row.id);
    return;
  }
  if ((await findWorkflow(context, revertWorkflowId(row.id))) === 'running') return;
  await startRevertRun(context, runOf(row));
  result.note('runsStarted', row.id);
}
