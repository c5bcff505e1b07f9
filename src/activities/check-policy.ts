import { recordPolicyCheck } from '../catalog/runs/checks.js';
import type { RecordedError } from '../domain/errors.js';
import { isTidemarkError, TidemarkError, toRecordedError } from '../domain/errors.js';
import type { Activities } from '../workflows/activity-types.js';
import { probeDestination } from './check-destination.js';
import type { ActivityDeps } from './deps.js';
import { keysOf } from './open-run.js';
import { runStep } from './run-step.js';

/** Can be written to what a policy's backups go to, and does its key open? The policy's row says how it went. */
export function checkPolicy(deps: ActivityDeps): Activities['checkPolicy'] {
  return ({ policyId }) =>
    runStep(deps, 'check-policy', async (step) => {
      const policy = await deps.catalog.prisma.policy.findUnique({
        where: { id: policyId },
        include: { key: true, destination: true },
      });
      if (policy === null || policy.deletedAt !== null) {
        throw new TidemarkError('not_found', `There is no policy ${policyId}.`, { object: policyId });
      }
      const { destination } = policy;
      let error: RecordedError | null = destination.enabled
        ? await probeDestination(deps, step, destination.id, { takeOver: false })
        : { code: 'destination_disabled', message: `The destination ${destination.name} is disabled.` };
      try {
        if (error === null) await keysOf(deps, policy);
      } catch (reason) {
        if (!isTidemarkError(reason)) throw reason;
        error = toRecordedError(reason);
      }
      await recordPolicyCheck(deps.catalog, policyId, policy.revision, error);
      return { ok: error === null, code: error?.code ?? null };
    });
}
