import {
  markPreviousDropped,
  raiseTokenForAftermath,
  readRestoreRun,
  settleRestore as settle,
  settleRevert as settleAfterRevert,
} from '../catalog/runs/restore-run.js';
import { claimFullAfterRestore } from '../catalog/runs/restored-into.js';
import type { Activities } from '../workflows/activity-types.js';
import { toResult } from './begin-attempt.js';
import type { ActivityDeps } from './deps.js';
import { withTarget } from './open-restore.js';
import { runShort, runStep } from './run-step.js';

export function settleRestore(deps: ActivityDeps): Activities['settleRestore'] {
  return ({ restoreId, status, error }) =>
    runShort(deps, 'settle-restore', async () => {
      const settled = await settle(deps.catalog, restoreId, status, error);
      const { completedAt, ...target } = await readRestoreRun(deps.catalog, restoreId);
      if (settled.status === 'completed' && completedAt !== null) {
        await claimFullAfterRestore(deps.catalog, target, completedAt);
      }
      return toResult(settled);
    });
}

export function settleRevert(deps: ActivityDeps): Activities['settleRevert'] {
  return ({ restoreId, error }) =>
    runShort(deps, 'settle-revert', async () => {
      await settleAfterRevert(deps.catalog, restoreId, error);
      if (error !== null) return;
      const { revertedAt, ...target } = await readRestoreRun(deps.catalog, restoreId);
      if (revertedAt !== null) await claimFullAfterRestore(deps.catalog, target, revertedAt);
    });
}

/** Drops the content that a restore or a revert has kept, once its time is over. */
export function dropPrevious(deps: ActivityDeps): Activities['dropPrevious'] {
  return ({ restoreId }) =>
    runStep(deps, 'drop-previous', async (step) => {
      const run = await readRestoreRun(deps.catalog, restoreId);
      const name = run.previousName;
      // While a revert holds the row the content is about to be needed.
      if (name === null || run.previousDroppedAt !== null || run.activeKey !== null) return { dropped: null };
      const token = await raiseTokenForAftermath(deps.catalog, restoreId);
      await withTarget(deps, step, run, token, (session) => session.dropPrevious(name));
      await markPreviousDropped(deps.catalog, restoreId);
      return { dropped: name };
    });
}
