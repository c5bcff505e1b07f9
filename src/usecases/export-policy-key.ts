import type { ExportedKey } from '../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePolicy } from './get-policy.js';
import { exportWrappingKey } from './shared/owner-keys.js';
import { assertAdmin } from './shared/refusals.js';

/** Gives an admin the wrapping key of a policy in the clear, so that what it stored can be read without this installation. Recorded. */
export async function exportPolicyKey(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<ExportedKey> {
  assertAdmin(principal, 'export a key');
  const { id, keyId } = await requirePolicy(context, principal, input.policyId);
  return await exportWrappingKey(context, principal, { kind: 'policy', id, keyId });
}
