import type { AttachmentRow } from '../catalog/attachments.js';
import { changeAttachment, findLiveAttachment, insertAttachment } from '../catalog/attachments.js';
import { recordAudit } from '../catalog/audit-events.js';
import type { CatalogQueries } from '../catalog/client.js';
import type { DatabaseRow } from '../catalog/databases.js';
import { findDatabase, lockDatabase } from '../catalog/databases.js';
import { findDailyPlan } from '../catalog/plans.js';
import type { PolicyRow } from '../catalog/policies.js';
import { findPolicy, lockPolicy } from '../catalog/policies.js';
import { TidemarkError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import type { AttachmentResource, CreateAttachment } from '../domain/schemas/policies.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentAttachment } from './present/present-policy.js';
import { startAttach } from './runs/start-policy-runs.js';
import { startOrLeave } from './runs/start-run.js';
import { notFound } from './shared/refusals.js';

/**
 * Puts a database under a policy. The row comes first; the attach workflow then inspects the server, configures the log and takes the
 * first full. Asked again for an attachment in `error`, it is tried again, with what is accepted now. Throws `policy_not_active`,
 * `already_attached`, `not_supported` for a replica, `conflict` while the database has its own daily schedule.
 */
export async function attachDatabase(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string } & CreateAttachment,
): Promise<AttachmentResource> {
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    // In this order everywhere: a policy, then its databases.
    await lockPolicy(tx, input.policyId);
    const policy = await findPolicy(tx, principal, input.policyId);
    if (policy === null) throw notFound('policy', input.policyId);
    await lockDatabase(tx, input.databaseId);
    const database = await findDatabase(tx, principal, input.databaseId);
    if (database === null) throw notFound('database', input.databaseId);
    assertActive(policy);
    await assertAttachable(tx, database);
    const details = { policyId: policy.id, databaseId: database.id, accepted: input.accept };
    const present = await findLiveAttachment(tx, database.id);
    if (present === null) {
      const created = await insertAttachment(tx, {
        id: newId('attachment'),
        policyId: policy.id,
        databaseId: database.id,
        pitrStatus: policy.pitr ? 'configuring' : 'disabled',
        accepted: input.accept,
        requestedBy: principal.userId,
      });
      await recordAudit(tx, principal, 'attachment.requested', created.id, details);
      return created;
    }
    assertMayRetry(database, present, policy);
    const again = await changeAttachment(tx, present.id, {
      status: 'configuring',
      pitrStatus: policy.pitr ? 'configuring' : 'disabled',
      accepted: input.accept,
      forgetError: true,
    });
    await recordAudit(tx, principal, 'attachment.retried', again.id, details);
    return again;
  });
  await startOrLeave(context, row.id, () => startAttach(context, row));
  return presentAttachment(row);
}

function assertActive(policy: PolicyRow): void {
  if (policy.status === 'active') return;
  throw new TidemarkError(
    'policy_not_active',
    `The policy ${policy.name} (${policy.id}) is ${policy.status}; databases attach to an active one.`,
    { object: policy.id },
  );
}

async function assertAttachable(tx: CatalogQueries, database: DatabaseRow): Promise<void> {
  if (database.role === 'replica' || database.primaryId !== null) {
    const primary = database.primaryId === null ? 'its primary' : `its primary ${database.primaryId}`;
    throw new TidemarkError(
      'not_supported',
      `The database ${database.name} (${database.id}) is a replica. Attach ${primary}: backups are read from a healthy replica by themselves.`,
      {
        object: database.id,
        references: database.primaryId === null ? [] : [database.primaryId],
        fields: [{ field: '/databaseId', message: 'must be a primary' }],
      },
    );
  }
  const daily = await findDailyPlan(tx, database.id);
  if (daily?.status !== 'active') return;
  throw new TidemarkError(
    'conflict',
    `The database ${database.name} (${database.id}) has its own daily schedule (${daily.id}). Switch it off or delete it first.`,
    { object: database.id, references: [daily.id] },
  );
}

function assertMayRetry(database: DatabaseRow, present: AttachmentRow, policy: PolicyRow): void {
  if (present.policyId === policy.id && present.status === 'error') return;
  const message =
    present.policyId === policy.id
      ? `The database ${database.name} (${database.id}) is attached to this policy already (${present.status}).`
      : 'Database is already attached to another backup policy';
  throw new TidemarkError('already_attached', message, { object: database.id, references: [present.policyId] });
}
