import { TidemarkError } from '../../domain/errors.js';
import type { SwapStep } from '../engine.js';
import type { RestoreScope } from './restore-scope.js';
export async function runStep(_s: RestoreScope, _step: SwapStep, _d: 'apply' | 'revert'): Promise<void> {
  throw new TidemarkError('not_supported', 'soon');
}
