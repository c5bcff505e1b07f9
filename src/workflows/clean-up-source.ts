import { continueAsNew, sleep, workflowInfo } from '@temporalio/workflow';
import { activities, withSummary } from './activity-options.js';
import { toRunError } from './failures.js';
import type { CleanUpSourceInput } from './messages.js';
import { Story } from './story.js';

/** Pauses between tries; the last one is repeated for as long as it takes. */
const pauses = ['30s', '5m', '15m', '1h', '6h'] as const;

/**
 * Removes something of ours from a user's server, and never gives up: a slot that nobody advances makes the server keep its log until its
 * disk is full. It is worth trying again whatever the reason was, because people change passwords and privileges.
 */
export async function cleanUpSource(input: CleanUpSourceInput): Promise<void> {
  const story = new Story();
  story.status('in_progress');
  for (let tries = 0; ; tries += 1) {
    if (await tryOnce(input)) {
      story.tell('Removed');
      return story.status('completed');
    }
    // A new history begins with a try: with the longest pause that is some months away.
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof cleanUpSource>(input);
    const pause = pauses[Math.min(tries, pauses.length - 1)] ?? '6h';
    story.tell(`Not yet; the next try is in ${pause}`);
    await sleep(pause);
  }
}

async function tryOnce(input: CleanUpSourceInput): Promise<boolean> {
  try {
    const { done } = await activities.cleanUp.cleanUpSource.executeWithOptions(
      withSummary('cleanUp', `Clean up ${input.cleanupId}`),
      [input],
    );
    return done;
  } catch (error) {
    // Its worker died, or the catalog was away for long.
    const { code } = toRunError(error);
    if (code === 'cancelled') throw error;
    return false;
  }
}
