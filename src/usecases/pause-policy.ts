import { recordAudit } from '../catalog/audit-events.js';
import { changePolicy, findPolicy, lockPolicy } from '../catalog/policies.js';
import type { PolicyResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPolicy } from './present/present-policy.js';
import { upsertPolicySchedulesOrLeave } from './schedules/chain-schedules.js';
import { notFound } from './shared/refusals.js';

/**
 * Stops the schedules of a policy until a person resumes it. The log is followed on, runs under way go on, and a backup can still be
 * requested by hand. One that failures had paused is a user's pause from then on.
 */
export async function pausePolicy(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<PolicyResource> {
  const { row, changed } = await context.catalog.prisma.$transaction(async (tx) => {
    await lockPolicy(tx, input.policyId);
    const before = await findPolicy(tx, principal, input.policyId);
    if (before === null) throw notFound('policy', input.policyId);
    if (before.status === 'paused' && before.pausedBy === 'user') return { row: before, changed: false };
    const row = await changePolicy(tx, before.id, { status: 'paused', pausedBy: 'user' });
    await recordAudit(tx, principal, 'policy.paused', before.id);
    return { row, changed: true };
  });
  if (changed) await upsertPolicySchedulesOrLeave(context, row.id);
  return presentPolicy(row);
}
