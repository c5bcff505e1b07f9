import { CancellationScope, isCancellation, log, sleep } from '@temporalio/workflow';
import { activities, withSummary } from './activity-options.js';
import type { BackupAttempt, BackupSummary, RunError } from './activity-types.js';
import { closeAsFailed, isRetryable, toRunError } from './failures.js';
import { LiveProgress } from './live-progress.js';
import type { BackupInput, RunResult } from './messages.js';
import { contentText, Story, sizeText } from './story.js';

/** Attempts that failed by themselves, and attempts whose worker died: the second kind says nothing about the source. */
const MAX_FAILED_ATTEMPTS = 4;
const MAX_LOST_ATTEMPTS = 12;

type Published = { readonly summary: BackupSummary; readonly planId: string | null };
type Settled = { readonly result: RunResult };

/**
 * One backup from its row to its result. Every attempt raises the fencing token first, so that an attempt that was only believed
 * dead cannot publish beside the next one. Ends completed, or closes as failed or cancelled after the row says so.
 */
export async function backup(input: BackupInput): Promise<RunResult> {
  const story = new Story();
  story.status('in_progress');
  let outcome: Published | Settled;
  try {
    outcome = await runAttempts(input, story);
  } catch (error) {
    const reason = toRunError(error);
    const settled = await CancellationScope.nonCancellable(() => settle(input.backupId, reason));
    await CancellationScope.nonCancellable(() => removeRemains(input.backupId));
    story.status(settled.status);
    story.tell(settled.status === 'completed' ? 'Was published before it ended; kept.' : `Ended: ${reason.message}`);
    if (settled.status === 'completed') return settled;
    if (isCancellation(error)) throw error;
    throw closeAsFailed(reason);
  }
  if ('result' in outcome) {
    story.tell(`Nothing to do: the row already says ${outcome.result.status}.`);
    return outcome.result;
  }
  const { planId } = outcome;
  // Published is published: a cancel from here on must not leave the remains of lost attempts.
  await CancellationScope.nonCancellable(async () => {
    story.status('completed');
    await removeRemains(input.backupId);
    if (planId !== null) await retain(planId, story);
  });
  return { status: 'completed', code: null };
}

async function runAttempts(input: BackupInput, story: Story): Promise<Published | Settled> {
  let failed = 0;
  let lost = 0;
  const live = new LiveProgress(story, { backupId: input.backupId });
  for (;;) {
    const start = await activities.catalog.beginAttempt({ backupId: input.backupId });
    if (start.state === 'settled') return { result: start.result };
    const { attempt, planId, kind } = start;
    const isOfChain = kind === 'full' || kind === 'incremental';
    const what = isOfChain ? `Take the ${kind} with` : 'Dump';
    story.tell(`Attempt ${attempt.number}: reading **${input.labels.databaseName}**`);
    try {
      const summary = await live.during(() =>
        (isOfChain ? activities.attempt.takeServerBackup : activities.attempt.dumpDatabase).executeWithOptions(
          withSummary('attempt', `${what} ${input.labels.databaseName}, attempt ${attempt.number}`),
          [{ backupId: input.backupId, attempt }],
        ),
      );
      const how = summary.adopted ? 'Adopted what an earlier attempt had published' : 'Published';
      story.tell(
        `${how}: ${contentText(summary)}, ${sizeText(summary.bytes)} stored as ${sizeText(summary.storedBytes)} in ${summary.location}`,
      );
      return { summary, planId };
    } catch (error) {
      if (isCancellation(error)) throw error;
      const reason = toRunError(error);
      await noteAttempt(input.backupId, attempt, reason);
      story.tell(`Attempt ${attempt.number} failed: ${reason.message}`);
      if (reason.code === 'worker_lost') lost += 1;
      else failed += 1;
      // `fenced`: something began an attempt of this row beside us; the newest one decides, and a further attempt asks it.
      const again = isRetryable(reason.code) || reason.code === 'fenced';
      if (!again || failed >= MAX_FAILED_ATTEMPTS || lost >= MAX_LOST_ATTEMPTS) throw error;
      await sleep(reason.code === 'worker_lost' ? '1s' : 5_000 * 3 ** (failed - 1));
    }
  }
}

function noteAttempt(backupId: string, attempt: BackupAttempt, error: RunError): Promise<void> {
  return activities.catalog.endAttempt({ backupId, attempt, error });
}

function settle(backupId: string, error: RunError): Promise<RunResult> {
  const status = error.code === 'cancelled' ? 'cancelled' : 'failed';
  return activities.settle.settleBackup({ backupId, status, error });
}

/** Objects of attempts that were not published. What cannot be removed now is swept by age, so it never changes the result. */
async function removeRemains(backupId: string): Promise<void> {
  try {
    await activities.cleanUp.removeRemains({ backupId });
  } catch (error) {
    log.warn('remains of attempts stay until the sweep', { backupId, code: toRunError(error).code });
  }
}

/** Deletes what the plan's retention no longer keeps; a refused deletion is recorded and tried again by housekeeping. */
async function retain(planId: string, story: Story): Promise<void> {
  try {
    const { deletions } = await activities.catalog.applyRetention({ planId });
    for (const backupId of deletions) await deleteOne(backupId);
    if (deletions.length > 0) story.tell(`Retention removed ${deletions.length} older backup(s)`);
  } catch (error) {
    log.warn('retention is left to housekeeping', { planId, code: toRunError(error).code });
  }
}

/** Removes one backup's objects; true when it is gone. Shared by retention, housekeeping and the delete workflow. */
export async function deleteOne(backupId: string): Promise<boolean> {
  try {
    await activities.cleanUp.deleteBackupObjects.executeWithOptions(withSummary('cleanUp', `Delete ${backupId}`), [
      { backupId },
    ]);
    return true;
  } catch (error) {
    const reason = toRunError(error);
    await CancellationScope.nonCancellable(() => activities.catalog.noteDeletionRefused({ backupId, error: reason }));
    if (isCancellation(error)) throw error;
    log.warn('deletion refused', { backupId, code: reason.code });
    return false;
  }
}
