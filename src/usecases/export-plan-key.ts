import type { ExportedKey } from '../domain/schemas/accounts.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePlan } from './get-plan.js';
import { exportWrappingKey } from './shared/owner-keys.js';
import { assertAdmin } from './shared/refusals.js';

/** Gives an admin the wrapping key of a plan in the clear, so that its backups can be read without this installation. Recorded. */
export async function exportPlanKey(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string },
): Promise<ExportedKey> {
  assertAdmin(principal, 'export a key');
  const { id, keyId } = await requirePlan(context, principal, input.planId);
  return await exportWrappingKey(context, principal, { kind: 'plan', id, keyId });
}
