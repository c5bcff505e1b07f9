import { TidemarkError } from '../../domain/errors.js';
import type { SwapPlan } from '../engine.js';
import type { RestoreScope } from './restore-scope.js';
export async function planSwap(
  _s: RestoreScope,
  _n: { staging: string; target: string; previous: string },
): Promise<SwapPlan> {
  throw new TidemarkError('not_supported', 'soon');
}
export async function planRevert(
  _s: RestoreScope,
  _n: { target: string; previous: string; aside: string },
): Promise<SwapPlan> {
  throw new TidemarkError('not_supported', 'soon');
}
