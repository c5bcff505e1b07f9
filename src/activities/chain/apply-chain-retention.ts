import { TidemarkError } from '../../domain/errors.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { runShort } from '../run-step.js';

/** Deletes what a policy's retention no longer keeps of a chain. */
export function applyChainRetention(deps: ActivityDeps): Activities['applyChainRetention'] {
  return ({ chainId }) =>
    runShort(deps, 'apply-chain-retention', () => {
      throw new TidemarkError('not_supported', `This build keeps everything of the chain ${chainId}.`);
    });
}
