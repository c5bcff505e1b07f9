import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import type { SwapStep } from '../engine.js';
import { mapQueryError } from './map-error.js';
import type { RestoreScope } from './restore-scope.js';

/** Applies or reverts one step in one transaction, unless its probe says that it stands so already. */
export async function runStep(scope: RestoreScope, step: SwapStep, direction: 'apply' | 'revert'): Promise<void> {
  const { maintenance, connection } = scope;
  const wanted = direction === 'apply' ? '1' : '0';
  const statements = direction === 'apply' ? step.apply : step.revert;
  try {
    if ((await maintenance.value(step.probe)) === wanted) return;
    await maintenance.run('BEGIN');
    try {
      for (const statement of statements) await maintenance.run(statement);
      await maintenance.run('COMMIT');
    } catch (error) {
      await maintenance.run('ROLLBACK').catch(() => {});
      throw error;
    }
    if ((await maintenance.value(step.probe)) !== wanted)
      throw new TidemarkError(
        'swap_failed',
        `The step ${step.name} ran, but its probe does not see it (${direction}).`,
        { object: step.name },
      );
  } catch (error) {
    if (isTidemarkError(error)) throw error;
    throw mapQueryError(error, connection, `The step ${step.name} of the swap failed (${direction})`, 'swap_failed');
  }
}
