import { resetFailuresOfPolicy } from '../catalog/attachments.js';
import { recordAudit } from '../catalog/audit-events.js';
import type { CatalogQueries } from '../catalog/client.js';
import type { PolicyRow } from '../catalog/policies.js';
import { changePolicy, findPolicy, lockPolicy } from '../catalog/policies.js';
import type { PolicyResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPolicy } from './present/present-policy.js';
import { startPolicyValidation } from './runs/start-policy-runs.js';
import { startOrLeave } from './runs/start-run.js';
import { upsertPolicySchedulesOrLeave } from './schedules/chain-schedules.js';
import { notFound } from './shared/refusals.js';

/**
 * Lets the schedules of a policy run again, whoever paused it, and counts failures from zero. A policy that was never verified is
 * `validating` first. Resuming one that is not paused changes nothing.
 */
export async function resumePolicy(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<PolicyResource> {
  return await goOn(context, principal, input.policyId, 'policy.resumed', (row) => row.status === 'paused');
}

/** Forgets the failures of every attached database; a pause that they caused ends. A user's own pause stays. */
export async function resetFailures(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<PolicyResource> {
  const byFailures = (row: PolicyRow) => row.status === 'paused' && row.pausedBy === 'failures';
  return await goOn(context, principal, input.policyId, 'policy.failures_reset', byFailures, { always: true });
}

async function goOn(
  context: UsecaseContext,
  principal: Principal,
  policyId: string,
  action: string,
  reactivates: (row: PolicyRow) => boolean,
  { always = false } = {},
): Promise<PolicyResource> {
  const { row, reactivated } = await context.catalog.prisma.$transaction(async (tx) => {
    await lockPolicy(tx, policyId);
    const before = await findPolicy(tx, principal, policyId);
    if (before === null) throw notFound('policy', policyId);
    const reactivated = reactivates(before);
    if (!reactivated && !always) return { row: before, reactivated };
    await resetFailuresOfPolicy(tx, policyId);
    await recordAudit(tx, principal, action, policyId);
    return { row: await (reactivated ? activate(tx, before) : findAgain(tx, principal, before)), reactivated };
  });
  if (reactivated) {
    if (row.status === 'validating') await startOrLeave(context, row.id, () => startPolicyValidation(context, row));
    await upsertPolicySchedulesOrLeave(context, row.id);
  }
  return presentPolicy(row);
}

async function activate(tx: CatalogQueries, { id, credentialsVerifiedAt }: PolicyRow): Promise<PolicyRow> {
  const status = credentialsVerifiedAt === null ? 'validating' : 'active';
  return await changePolicy(tx, id, { status, pausedBy: null });
}

async function findAgain(tx: CatalogQueries, principal: Principal, row: PolicyRow): Promise<PolicyRow> {
  return (await findPolicy(tx, principal, row.id)) ?? row;
}
