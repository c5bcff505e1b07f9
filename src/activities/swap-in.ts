import type { RestoreRun } from '../catalog/runs/restore-run.js';
import { forgetStaging, raiseTokenForAftermath, readRestoreRun } from '../catalog/runs/restore-run.js';
import type { JournalPurpose, JournalRow } from '../catalog/runs/swap-journal.js';
import { finishJournal, openJournal, readJournal, recordApplied } from '../catalog/runs/swap-journal.js';
import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import type { RestoreSession, SwapPlan } from '../engines/engine.js';
import { asideNameOf, previousNameOf } from '../recovery/names.js';
import { runSwap, undoSwap as undo } from '../recovery/swap.js';
import type { Activities, SwapResult } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import { beginRestoreStep, withTarget } from './open-restore.js';
import type { Step } from './run-step.js';
import { runStep } from './run-step.js';

/** Puts the staging database in the place of the target. Called again after a crash it goes on where the journal stands. */
export function swapIn(deps: ActivityDeps): Activities['swapIn'] {
  return ({ restoreId }) =>
    runStep(deps, 'swap-in', async (step) => {
      const { run, token } = await beginRestoreStep(deps, restoreId);
      const engine = run.backup.database.engine as EngineKind;
      const result = await runJournal({ deps, step, run, token, purpose: 'swap' }, (session) =>
        session.planSwap({
          staging: run.stagingName ?? '',
          target: run.targetName,
          previous: previousNameOf(engine, run.targetName, run.id),
        }),
      );
      await dropEmptied({ deps, step: unstoppable(step), run, token, purpose: 'swap' });
      return result;
    });
}

/**
 * Where tables move out of the staging database (MySQL, MariaDB) it stays behind, empty; where it was renamed nothing is left. The
 * restore is in place: what cannot be dropped now keeps its name on the row, and housekeeping tries again.
 */
async function dropEmptied({ deps, step, run, token }: JournalContext): Promise<void> {
  try {
    await withTarget(deps, step, run, token, (session) => session.dropStaging());
    await forgetStaging(deps.catalog, run.id);
  } catch (error) {
    deps.logger.warn({ err: error, restoreId: run.id }, 'an emptied staging database is left to housekeeping');
  }
}

/** Puts the kept former content back; the restored content goes aside. */
export function revertRestore(deps: ActivityDeps): Activities['revertRestore'] {
  return ({ restoreId }) =>
    runStep(deps, 'revert-restore', async (step) => {
      const token = await raiseTokenForAftermath(deps.catalog, restoreId);
      const run = await readRestoreRun(deps.catalog, restoreId);
      const engine = run.backup.database.engine as EngineKind;
      return await runJournal({ deps, step, run, token, purpose: 'revert' }, (session) => {
        if (run.previousName === null || run.previousDroppedAt !== null || run.revertedAt !== null) {
          throw new TidemarkError('previous_gone', `No former content of ${run.targetName} is kept by ${run.id}.`, {
            object: run.id,
          });
        }
        return session.planRevert({
          target: run.targetName,
          previous: run.previousName,
          aside: asideNameOf(engine, run.targetName, run.id),
        });
      });
    });
}

/** Undoes a swap that was left open. A journal that was finished in truth counts as completed. */
export function undoSwap(deps: ActivityDeps): Activities['undoSwap'] {
  return ({ restoreId, purpose }) =>
    runStep(deps, 'undo-swap', async (step) => {
      const journal = await readJournal(deps.catalog, restoreId, purpose);
      if (journal === null || journal.state === 'undone') return { undone: false, completed: false };
      if (journal.state === 'done') return { undone: false, completed: true };
      const token = await raiseTokenForAftermath(deps.catalog, restoreId);
      const run = await readRestoreRun(deps.catalog, restoreId);
      const context = { deps, step: unstoppable(step), run, token, purpose };
      await withTarget(deps, context.step, run, token, (session) => undo(swapRun(context, session, journal)));
      return { undone: true, completed: false };
    });
}

type JournalContext = {
  readonly deps: ActivityDeps;
  readonly step: Step;
  readonly run: RestoreRun;
  readonly token: number;
  readonly purpose: JournalPurpose;
};

async function runJournal(
  context: JournalContext,
  /** Its `previous` is where the content goes that is in the place now: for a revert, what the restore had put there. */
  makePlan: (session: RestoreSession) => Promise<SwapPlan>,
): Promise<SwapResult> {
  const { deps, run, token, purpose } = context;
  const before = await readJournal(deps.catalog, run.id, purpose);
  if (before?.state === 'done') return resultOf(before);
  const step = unstoppable(context.step);
  return await withTarget(deps, step, run, token, async (session) => {
    const journal =
      before?.state === 'open'
        ? before
        : await openJournal(deps.catalog, token, { restoreId: run.id, purpose, plan: await makePlan(session) });
    await deps.faults.reach(`${purpose}-planned`);
    const { shutOutSeconds } = await runSwap(swapRun({ ...context, step }, session, journal));
    await deps.faults.reach(`${purpose}-done`);
    return { previousName: planOf(journal).previous, shutOutSeconds };
  });
}

function swapRun(context: JournalContext, session: RestoreSession, journal: JournalRow) {
  const { deps, token, purpose } = context;
  const plan = planOf(journal);
  return {
    session,
    plan,
    applied: journal.applied,
    store: {
      recordApplied: (applied: number) => recordApplied(deps.catalog, token, journal, applied),
      finish: (outcome: { state: 'done'; previousName: string | null } | { state: 'undone' }) =>
        finishJournal(deps.catalog, token, journal, outcome),
    },
    onStep: async (moment: 'before' | 'after', swapStep: { name: string }) => {
      const number = plan.steps.findIndex((candidate) => candidate.name === swapStep.name) + 1;
      await deps.faults.reach(`${purpose}-${moment}-${number}`);
    },
  };
}

const planOf = (journal: JournalRow) => journal.plan as SwapPlan;

function resultOf(journal: JournalRow): SwapResult {
  const end = journal.finishedAt ?? journal.createdAt;
  return {
    previousName: planOf(journal).previous,
    shutOutSeconds: Math.max(0, (end.getTime() - journal.createdAt.getTime()) / 1000),
  };
}

/** Applications are shut out: a cancel or a stopping worker must not cut a step in two. Steps are short, and a kill is what the journal is for. */
function unstoppable(step: Step): Step {
  return { ...step, signal: new AbortController().signal };
}
