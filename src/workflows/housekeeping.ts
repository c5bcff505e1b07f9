import { isCancellation, log } from '@temporalio/workflow';
import { activities, withSummary } from './activity-options.js';
import { deleteOne } from './backup.js';
import { toRunError } from './failures.js';
import type { RunResult } from './messages.js';
import { countText, Story } from './story.js';

/**
 * Hourly: drops former contents whose time is over, retries refused deletions, applies retention, sweeps what killed runs left in the
 * stores, forgets expired rows. One thing that cannot be done never keeps the others from being done.
 */
export async function housekeeping(): Promise<RunResult> {
  const story = new Story();
  const work = await activities.catalog.findHousekeeping();
  let refused = 0;

  const each = async (ids: readonly string[], what: string, act: (id: string) => Promise<boolean>) => {
    let done = 0;
    for (const id of ids) {
      const ok = await act(id).catch((error: unknown) => {
        if (isCancellation(error)) throw error;
        log.warn(`housekeeping: ${what} failed`, { id, code: toRunError(error).code });
        return false;
      });
      if (ok) done += 1;
      else refused += 1;
    }
    if (ids.length > 0) story.tell(`${what}: ${done} of ${ids.length}`);
  };

  await each(work.previousOfRestores, 'former contents dropped', async (restoreId) => {
    const { dropped } = await activities.cleanUp.dropPrevious({ restoreId });
    return dropped !== null;
  });
  await each(work.stagingOfRestores, 'staging databases dropped', async (restoreId) => {
    await activities.cleanUp.dropStaging({ restoreId });
    return true;
  });
  const due: string[] = [...work.deletions];
  await each(work.plans, 'plans checked for retention', async (planId) => {
    due.push(...(await activities.catalog.applyRetention({ planId })).deletions);
    return true;
  });
  await each([...new Set(due)], 'backups removed', deleteOne);
  await each(work.destinations, 'destinations swept', async (destinationId) => {
    await activities.cleanUp.sweepDestination.executeWithOptions(withSummary('cleanUp', `Sweep ${destinationId}`), [
      { destinationId },
    ]);
    return true;
  });
  await activities.catalog.expireRows();
  story.tell(refused === 0 ? 'Everything in order' : `${countText(refused, 'thing')} to be tried again`);
  return { status: 'completed', code: null };
}
