import { changePlan, findPlan, lockPlan } from '../catalog/plans.js';
import type { KeyContext, Principal } from './context.js';
import type { RotatedKeys } from './shared/owner-keys.js';
import { rotateWrappingKey } from './shared/owner-keys.js';
import { assertAdmin, notFound } from './shared/refusals.js';

/** Gives a plan a new wrapping key for the backups from now on. Those made before stay readable under the old one. */
export async function rotatePlanKey(
  context: KeyContext,
  principal: Principal,
  { planId }: { planId: string },
): Promise<RotatedKeys> {
  assertAdmin(principal, 'rotate a key');
  return await rotateWrappingKey(context, principal, {
    readOwner: async (tx) => {
      await lockPlan(tx, planId);
      const plan = await findPlan(tx, principal, planId);
      if (plan === null) throw notFound('plan', planId);
      return { kind: 'plan', id: plan.id, keyId: plan.keyId };
    },
    put: (tx, keyId) => changePlan(tx, planId, { keyId }),
  });
}
