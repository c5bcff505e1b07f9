import { CancellationScope } from '@temporalio/workflow';
import { activities } from './activity-options.js';
import { closeAsFailed, toRunError } from './failures.js';
import type { RevertInput, RunResult } from './messages.js';
import { Story, shutOutText } from './story.js';
import { undoSwapWhatever, withStuck } from './undo-swap.js';

/** Puts the former content of a restored database back; what the restore had put there is kept aside for the same time. */
export async function revert(input: RevertInput): Promise<RunResult> {
  const story = new Story();
  story.status('in_progress');
  const { restoreId } = input;
  return await CancellationScope.nonCancellable(async () => {
    try {
      const swapped = await activities.swap.revertRestore({ restoreId });
      await activities.catalog.settleRevert({ restoreId, error: null });
      story.tell(`The former content is back; applications were shut out for ${shutOutText(swapped.shutOutSeconds)}`);
      story.status('completed');
      return { status: 'completed', code: null };
    } catch (error) {
      const reason = toRunError(error);
      const undo = await undoSwapWhatever(restoreId, 'revert', story);
      if (undo.completed) {
        await activities.catalog.settleRevert({ restoreId, error: null });
        story.status('completed');
        return { status: 'completed', code: null };
      }
      const told = undo.stuck === null ? reason : withStuck(reason, undo.stuck);
      await activities.catalog.settleRevert({ restoreId, error: told });
      story.tell(`Ended: ${reason.message}`);
      story.status('failed');
      throw closeAsFailed(reason);
    }
  });
}
