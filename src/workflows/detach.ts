import { CancellationScope, getExternalWorkflowHandle, isCancellation } from '@temporalio/workflow';
import { activities } from './activity-options.js';
import { startOrWake } from './entities.js';
import type { DetachInput } from './messages.js';
import { backupWorkflowId } from './names.js';
import { Story } from './story.js';

/**
 * Takes a database out of its policy. With the last one of a server its runs are cancelled, the log archive stops and the source is
 * released; what cannot be released now is retried as a clean-up of its own. Everything stored stays.
 */
export async function detach(input: DetachInput): Promise<{ detached: boolean }> {
  const story = new Story();
  const { attachmentId } = input;
  const start = await activities.catalog.beginDetach({ attachmentId });
  if (start.state === 'gone') {
    story.tell('It is detached already');
    return { detached: false };
  }
  const { chain, last, runs } = start;
  if (chain !== null && last) {
    for (const backupId of runs) await cancelRun(backupId);
    await startOrWake('archive', chain, input.labels);
    const { stopped } = await activities.wait.awaitArchiveStopped({ chainId: chain.chainId });
    if (!stopped) {
      // Whatever keeps the entity from it: the source must not keep its log for us.
      const { left } = await activities.cleanUp.releaseSource({ chainId: chain.chainId });
      story.tell(`The archive did not stop by itself; the source was released, ${left} clean-up(s) left`);
    }
  }
  await CancellationScope.nonCancellable(() => activities.catalog.finishDetach({ attachmentId }));
  // Both read the catalog anew: the archive may have followed through this database, the chain may have come to its end.
  if (chain !== null) {
    if (!last) await startOrWake('archive', chain, input.labels);
    await startOrWake('chain', chain, input.labels);
  }
  story.tell('Detached; everything stored was kept');
  story.status('detached');
  return { detached: true };
}

/** Its workflow cancels it; a run that was never started is settled here. */
async function cancelRun(backupId: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(backupWorkflowId(backupId)).cancel();
    await activities.wait.awaitBackup({ backupId });
  } catch (error) {
    if (isCancellation(error)) throw error;
    await activities.settle.settleBackup({
      backupId,
      status: 'cancelled',
      error: { code: 'cancelled', message: 'Its database was detached from the policy.' },
    });
  }
}
