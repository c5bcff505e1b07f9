import { findUnfinishedDeletions } from '../../catalog/reconcile-rows.js';
import { deleteBackupWorkflowId } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { startDeletion } from '../runs/start-run.js';
import { findWorkflow } from './find-workflow.js';
import type { PassResult } from './pass-result.js';

/** A deletion by retention is done inside the run that asked for it; give it this long before helping. */
const GRACE_MS = 60_000;

/** Starts deletions that a user asked for and that no workflow is doing. Nothing is deleted that was not asked for. */
export async function reconcileDeletions(context: UsecaseContext, result: PassResult): Promise<void> {
  for (const row of await findUnfinishedDeletions(context.catalog.prisma, new Date(Date.now() - GRACE_MS))) {
    await result.attempt(`deletion of ${row.id}`, async () => {
      if ((await findWorkflow(context, deleteBackupWorkflowId(row.id))) === 'running') return;
      await startDeletion(context, row.id);
      result.note('runsStarted', row.id);
    });
  }
}
