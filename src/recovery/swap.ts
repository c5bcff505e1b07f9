import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { RestoreSession, SwapPlan, SwapStep } from '../engines/engine.js';

/**
 * Where the journal of a swap is kept. Every call throws `fenced` when a newer try has taken over, and lets other failures of the
 * catalog pass as they are: the swap then stands still, and the next try goes on from the journal.
 */
export interface SwapJournalStore {
  /** `applied`: how many steps are known to stand. */
  recordApplied(applied: number): Promise<void>;
  finish(
    outcome: { state: 'done'; previousName: string | null } | { state: 'undone' },
  ): Promise<{ shutOutSeconds: number }>;
}

export type SwapRun = {
  readonly session: RestoreSession;
  /** The plan as it stands in the journal, which was written before the first step. */
  readonly plan: SwapPlan;
  /** Steps known to stand applied from an earlier try. */
  readonly applied: number;
  readonly store: SwapJournalStore;
  /** Called before and after every step, with its name; tests stop here. */
  readonly onStep?: (moment: 'before' | 'after', step: SwapStep) => Promise<void>;
};

/** Codes after which the server cannot be asked to undo anything: the journal stays open for the next try. */
const cannotUndoNow = new Set([
  'connection_lost',
  'database_unreachable',
  'fenced',
  'service_unavailable',
  'cancelled',
]);

/**
 * Runs a swap forward from where the journal says it stands. A step that fails undoes all of them, and the target is as it was
 * (`swap_failed`). A lost connection, a lost catalog or a crash leave the journal open: calling this again goes on, because the
 * engine asks each step's probe whether it stands already.
 */
export async function runSwap(run: SwapRun): Promise<{ shutOutSeconds: number }> {
  const { plan, store } = run;
  for (let index = Math.min(run.applied, plan.steps.length); index < plan.steps.length; index += 1) {
    const step = stepAt(plan, index);
    await run.onStep?.('before', step);
    // Asked right before the step: a try that was only believed dead must not act beside the one that replaced it.
    await store.recordApplied(index);
    try {
      await run.session.runStep(step, 'apply');
    } catch (error) {
      if (isTidemarkError(error) && cannotUndoNow.has(error.code)) throw error;
      await undoFrom(run, index);
      throw swapFailed(plan, step, error);
    }
    await run.onStep?.('after', step);
  }
  await store.recordApplied(plan.steps.length);
  return await store.finish({ state: 'done', previousName: plan.previous });
}

function swapFailed(plan: SwapPlan, step: SwapStep, error: unknown): TidemarkError {
  const why = isTidemarkError(error) ? error.message : 'The server refused it for a reason that was logged.';
  return new TidemarkError(
    'swap_failed',
    `Putting ${plan.target} in place failed at ${step.name} and was undone; the target is as it was. ${why}`,
    { object: plan.target },
    { cause: error },
  );
}

/** Undoes an open swap from its last step to its first. Safe to call again after a crash in the middle of it. */
export async function undoSwap(run: SwapRun): Promise<void> {
  await undoFrom(run, run.applied);
}

/** The step at `index` may stand although nothing says so: it ran, and the process died before it could be recorded. */
async function undoFrom(run: SwapRun, index: number): Promise<void> {
  const { plan, store, session } = run;
  for (let at = Math.min(index, plan.steps.length - 1); at >= 0; at -= 1) {
    // Recorded before, not after: if this try ends in between, the next one goes forward from here. A step that was undone but still
    // counted as standing would be left out, and the target would be called restored with its former tables in place.
    await store.recordApplied(at);
    await session.runStep(stepAt(plan, at), 'revert');
  }
  await store.finish({ state: 'undone' });
}

function stepAt(plan: SwapPlan, index: number): SwapStep {
  const step = plan.steps[index];
  if (step === undefined) throw new TidemarkError('internal', `The swap plan has no step ${index}.`);
  return step;
}
