import { changeAttachment, findLiveAttachment } from '../catalog/attachments.js';
import { recordAudit } from '../catalog/audit-events.js';
import { findPolicy, lockPolicy } from '../catalog/policies.js';
import type { AttachmentResource } from '../domain/schemas/policies.js';
import { attachWorkflowId } from '../workflows/names.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentAttachment } from './present/present-policy.js';
import { cancelRun } from './runs/cancel-run.js';
import { startDetach } from './runs/start-policy-runs.js';
import { startOrLeave } from './runs/start-run.js';
import { upsertPolicySchedulesOrLeave } from './schedules/chain-schedules.js';
import { notFound } from './shared/refusals.js';

/**
 * Takes a database out of its policy. Everything stored stays; with the last database of a server the log is followed no more and
 * what was made on the server goes. Asked again while that is under way it answers the same.
 */
export async function detachDatabase(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string; databaseId: string },
): Promise<AttachmentResource> {
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    await lockPolicy(tx, input.policyId);
    if ((await findPolicy(tx, principal, input.policyId)) === null) throw notFound('policy', input.policyId);
    const present = await findLiveAttachment(tx, input.databaseId);
    if (present === null || present.policyId !== input.policyId) {
      throw notFound('attached database', input.databaseId);
    }
    if (present.status === 'detaching') return present;
    const leaving = await changeAttachment(tx, present.id, { status: 'detaching' });
    await recordAudit(tx, principal, 'attachment.detach_requested', present.id, { ...input });
    return leaving;
  });
  // An attach that is still under way must not go on making what the detach removes.
  await cancelRun(context, attachWorkflowId(row.id));
  await startOrLeave(context, row.id, () => startDetach(context, row));
  await upsertPolicySchedulesOrLeave(context, row.policyId);
  return presentAttachment(row);
}
