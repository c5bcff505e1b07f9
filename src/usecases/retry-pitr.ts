import type { AttachmentRow } from '../catalog/attachments.js';
import { changeAttachment, findAttachment } from '../catalog/attachments.js';
import { recordAudit } from '../catalog/audit-events.js';
import { lockPolicy } from '../catalog/policies.js';
import { TidemarkError } from '../domain/errors.js';
import type { AttachmentResource } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireAttachment } from './get-attachment.js';
import { presentAttachment } from './present/present-policy.js';
import { startAttach } from './runs/start-policy-runs.js';
import { startOrLeave } from './runs/start-run.js';
import { notFound } from './shared/refusals.js';

/**
 * Configures PITR again after its cause was mended. One that never came to be attached is attached from the beginning. Throws
 * `conflict` where there is nothing to retry.
 */
export async function retryPitr(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string; databaseId: string },
): Promise<AttachmentResource> {
  const { id, policyId } = await requireAttachment(context, principal, input);
  const { before, row } = await context.catalog.prisma.$transaction(async (tx) => {
    // Under the lock that a detach takes too: one on its way out must not be called back.
    await lockPolicy(tx, policyId);
    const before = await findAttachment(tx, principal, id);
    if (before === null) throw notFound('attachment', id);
    assertMayRetry(before);
    const again = before.status === 'error' ? ({ status: 'configuring' } as const) : {};
    const changed = await changeAttachment(tx, before.id, { ...again, pitrStatus: 'configuring', forgetError: true });
    await recordAudit(tx, principal, 'attachment.pitr_retried', before.id, { ...input });
    return { before, row: changed };
  });
  await startOrLeave(context, row.id, () => startAttach(context, row, { retryPitr: before.status !== 'error' }));
  return presentAttachment(row);
}

function assertMayRetry({ database, policy, status, pitrStatus, activeKey }: AttachmentRow): void {
  const refuse = (why: string) =>
    new TidemarkError('conflict', `PITR of ${database.name} (${database.id}) cannot be retried: ${why}.`, {
      object: database.id,
    });
  if (!policy.pitr) throw refuse(`the policy ${policy.name} has it switched off`);
  if (activeKey === null) throw refuse('it is detached');
  if (status === 'detaching' || status === 'configuring') throw refuse(`it is ${status}`);
  if (pitrStatus === 'active') throw refuse('it is active');
}
