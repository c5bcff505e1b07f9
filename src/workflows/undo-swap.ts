import { log, sleep } from '@temporalio/workflow';
import { activities } from './activity-options.js';
import type { RunError } from './activity-types.js';
import { toRunError } from './failures.js';
import type { Story } from './story.js';

/** Pauses between tries; the last one is repeated. One try may itself take a day while the server is away. */
const pauses = ['1m', '5m', '15m', '1h'] as const;
/** After this long without success the server is taken to be gone for good, in milliseconds. */
const HOPE_MS = 7 * 86_400_000;

export type UndoResult = {
  /** The swap turned out to be complete: the new content is in place. */
  readonly completed: boolean;
  /** Set when hope was given up: the swap is still half done, and nothing of it may be dropped. */
  readonly stuck: RunError | null;
};

/**
 * Undoes a swap that was left open, and does not let go before that is done, also when the server refuses us (a password that was changed
 * meanwhile): applications are shut out until then. Whoever dropped the staging database or freed the target in between would take away
 * what the undoing needs.
 */
export async function undoSwapWhatever(
  restoreId: string,
  purpose: 'swap' | 'revert',
  story: Story,
): Promise<UndoResult> {
  const since = Date.now();
  for (let tries = 0; ; tries += 1) {
    try {
      const { completed } = await activities.undo.undoSwap({ restoreId, purpose });
      return { completed, stuck: null };
    } catch (error) {
      const reason = toRunError(error);
      log.error('a swap could not be undone', { restoreId, purpose, code: reason.code });
      story.tell(`Half way, and not undone yet; applications are shut out: ${reason.message}`);
      // Without a row there is nobody to undo it for: the catalog was put back to an earlier day.
      if (reason.code === 'not_found' || Date.now() - since > HOPE_MS) return { completed: false, stuck: reason };
      await sleep(pauses[Math.min(tries, pauses.length - 1)] ?? '1h');
    }
  }
}

/** What the row says of a run whose swap could not be undone: the first reason, and that somebody has to look at the server. */
export function withStuck(reason: RunError, stuck: RunError): RunError {
  return {
    code: reason.code,
    message: `${reason.message} The swap is half done and could not be undone: ${stuck.message} Look at the server before you do anything else there.`,
  };
}
