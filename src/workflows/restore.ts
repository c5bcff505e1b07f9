import { CancellationScope, CancelledFailure, isCancellation, log } from '@temporalio/workflow';
import { activities, withSummary } from './activity-options.js';
import { closeAsFailed, toRunError } from './failures.js';
import { LiveProgress } from './live-progress.js';
import type { RestoreInput, RunResult } from './messages.js';
import { contentText, countText, Story, shutOutText, sizeText } from './story.js';
import { undoSwapWhatever, withStuck } from './undo-swap.js';

/**
 * One restore: checked and built beside its target, compared, then put in place by a journal. Until the swap nothing of the target
 * has been touched and a cancel drops the staging database. From the first step of the swap on it is finished or undone, whatever happens.
 */
export async function restore(input: RestoreInput): Promise<RunResult> {
  const story = new Story();
  story.status('in_progress');
  const { restoreId } = input;
  const live = new LiveProgress(story, { restoreId });
  try {
    const prepared = await activities.prepare.prepareRestore({ restoreId });
    if (prepared.state === 'settled') return prepared.result;
    if (prepared.state === 'swapping') {
      story.tell('A swap had been begun by an earlier run; finishing it');
      return await finish(restoreId, 'staged', story);
    }
    story.tell(
      `Checked **${prepared.place}** (${prepared.way === 'staged' ? 'built beside it, then swapped in' : 'loaded directly: the role may not create databases'}); about ${sizeText(prepared.estimatedBytes)} needed`,
    );
    // Recorded results of earlier code have no such field: their runs go on as they began.
    if (prepared.recovery !== undefined) {
      await recover(input, prepared.recovery, live, story);
      return await finish(restoreId, prepared.way, story);
    }
    const verified = await live.during(() =>
      activities.long.verifyArtifacts.executeWithOptions(
        withSummary('long', `Verify the stored objects of ${sizeText(prepared.bytes)} of content`),
        [{ restoreId }],
      ),
    );
    story.tell(`Verified ${countText(verified.objects, 'stored object')}, ${sizeText(verified.storedBytes)}`);
    const { stagingName } = await live.during(() =>
      activities.long.buildStaging.executeWithOptions(
        withSummary('long', `Load ${input.labels.databaseName} into ${prepared.place}`),
        [{ restoreId }],
      ),
    );
    story.tell(`Loaded into \`${stagingName}\``);
    const comparison = await live.during(() => activities.long.compareStaging({ restoreId }));
    story.tell(`Compared: ${contentText(comparison)}, proof ${comparison.proof}`);
    return await finish(restoreId, prepared.way, story);
  } catch (error) {
    const reason = toRunError(error);
    const result = await CancellationScope.nonCancellable(() => cleanUp(restoreId, reason, story));
    story.status(result.status);
    story.tell(result.status === 'completed' ? 'Was in place before it ended; kept.' : `Ended: ${reason.message}`);
    if (result.status === 'completed') return result;
    if (isCancellation(error)) throw error;
    // The worker died before it could answer a cancel.
    if (result.status === 'cancelled') throw new CancelledFailure('The restore was cancelled.');
    throw closeAsFailed(reason);
  }
}

/** The whole server is recovered in a sandbox, and the one database delivered from there into staging. */
async function recover(input: RestoreInput, reads: string, live: LiveProgress, story: Story): Promise<void> {
  const { restoreId } = input;
  story.tell(`Recovering in a sandbox from ${reads}`);
  const result = await live.during(() =>
    activities.long.recoverIntoStaging.executeWithOptions(
      withSummary('long', `Recover ${input.labels.databaseName} in a sandbox and load it beside its target`),
      [{ restoreId }],
    ),
  );
  const last = result.lastApplied?.at ?? result.lastApplied?.position;
  story.tell(`Recovered${last == null ? '' : `, last transaction applied: ${last}`}`);
  story.tell(`Loaded into \`${result.stagingName}\` and compared: ${contentText(result.comparison)}, proof transport`);
}

/** From the swap to the settled row nothing is cancelled: it would come too late. */
async function finish(restoreId: string, way: 'staged' | 'direct', story: Story): Promise<RunResult> {
  await CancellationScope.nonCancellable(() => putInPlace(restoreId, way, story));
  story.status('completed');
  return { status: 'completed', code: null };
}

async function putInPlace(restoreId: string, way: 'staged' | 'direct', story: Story): Promise<void> {
  if (way === 'staged') {
    const swapped = await activities.swap.swapIn({ restoreId });
    story.tell(
      swapped.previousName === null
        ? 'In place; nothing was there before'
        : `In place; applications were shut out for ${shutOutText(swapped.shutOutSeconds)}; the former content is kept as \`${swapped.previousName}\``,
    );
  }
  await activities.catalog.settleRestore({ restoreId, status: 'completed', error: null });
}

/** Undoes an unfinished swap, drops the staging database, settles the row. The order matters: the row must not free its target before. */
async function cleanUp(restoreId: string, reason: ReturnType<typeof toRunError>, story: Story): Promise<RunResult> {
  const undo = await undoSwapWhatever(restoreId, 'swap', story);
  if (undo.completed) {
    return await activities.catalog.settleRestore({ restoreId, status: 'completed', error: null });
  }
  if (undo.stuck !== null) {
    const error = withStuck(reason, undo.stuck);
    return await activities.catalog.settleRestore({ restoreId, status: 'failed', error });
  }
  await activities.cleanUp.dropStaging({ restoreId }).catch((error: unknown) => {
    log.warn('a staging database is left to housekeeping', { restoreId, code: toRunError(error).code });
  });
  const status = reason.code === 'cancelled' ? 'cancelled' : 'failed';
  return await activities.catalog.settleRestore({ restoreId, status, error: reason });
}
