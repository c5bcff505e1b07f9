import { changePolicy, findPolicy, lockPolicy } from '../catalog/policies.js';
import type { KeyContext, Principal } from './context.js';
import type { RotatedKeys } from './shared/owner-keys.js';
import { rotateWrappingKey } from './shared/owner-keys.js';
import { assertAdmin, notFound } from './shared/refusals.js';

/** Gives a policy a new wrapping key for backups and log from now on. What was stored before stays readable under the old one. */
export async function rotatePolicyKey(
  context: KeyContext,
  principal: Principal,
  { policyId }: { policyId: string },
): Promise<RotatedKeys> {
  assertAdmin(principal, 'rotate a key');
  return await rotateWrappingKey(context, principal, {
    readOwner: async (tx) => {
      await lockPolicy(tx, policyId);
      const policy = await findPolicy(tx, principal, policyId);
      if (policy === null) throw notFound('policy', policyId);
      return { kind: 'policy', id: policy.id, keyId: policy.keyId };
    },
    put: (tx, keyId) => changePolicy(tx, policyId, { keyId }),
  });
}
