import { recordAudit } from '../catalog/audit-events.js';
import { findActiveRunsOfPolicy, findPolicy, lockPolicy, markPolicyDeleted } from '../catalog/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { upsertPolicySchedulesOrLeave } from './schedules/chain-schedules.js';
import { notFound, stillReferenced } from './shared/refusals.js';

/** Ends a policy. What was stored under it stays, with its keys. Throws `still_referenced` naming attached databases and runs. */
export async function deletePolicy(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<void> {
  await context.catalog.prisma.$transaction(async (tx) => {
    await lockPolicy(tx, input.policyId);
    const row = await findPolicy(tx, principal, input.policyId);
    if (row === null) throw notFound('policy', input.policyId);
    const attached = row.attachments.map(({ databaseId }) => databaseId);
    const references = [...attached, ...(await findActiveRunsOfPolicy(tx, row.id))];
    if (references.length > 0) throw stillReferenced('policy', row.id, references);
    await markPolicyDeleted(tx, row.id);
    await recordAudit(tx, principal, 'policy.deleted', row.id, { name: row.name });
  });
  await upsertPolicySchedulesOrLeave(context, input.policyId);
}
