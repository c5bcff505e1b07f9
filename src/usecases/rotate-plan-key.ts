import { recordAudit } from '../catalog/audit-events.js';
import { changePlan, findPlan, lockPlan } from '../catalog/plans.js';
import { insertWrappingKey, retireWrappingKey } from '../catalog/wrapping-keys.js';
import { TidemarkError } from '../domain/errors.js';
import { createWrappingKey } from '../keys/wrapping-key.js';
import type { KeyContext, Principal } from './context.js';
import { assertAdmin, notFound } from './shared/refusals.js';

/** Gives a plan a new wrapping key for the backups from now on. Those made before stay readable under the old one. */
export async function rotatePlanKey(
  context: KeyContext,
  principal: Principal,
  input: { planId: string },
): Promise<{ keyId: string; retiredKeyId: string }> {
  assertAdmin(principal, 'rotate a key');
  const made = await createWrappingKey(context.masterKey);
  return await context.catalog.prisma.$transaction(async (tx) => {
    await lockPlan(tx, input.planId);
    const plan = await findPlan(tx, principal, input.planId);
    if (plan === null) throw notFound('plan', input.planId);
    if (plan.keyId === null) {
      throw new TidemarkError('key_missing', `The plan ${plan.id} is not encrypted, so it has no key.`, {
        object: plan.id,
      });
    }
    await insertWrappingKey(tx, { id: made.key.id, sealed: made.sealed });
    await retireWrappingKey(tx, plan.keyId);
    await changePlan(tx, plan.id, { keyId: made.key.id });
    await recordAudit(tx, principal, 'key.rotated', made.key.id, { planId: plan.id, retiredKeyId: plan.keyId });
    return { keyId: made.key.id, retiredKeyId: plan.keyId };
  });
}
