import { changeAttachment, findLiveAttachmentsOfPolicy } from '../catalog/attachments.js';
import { recordAudit } from '../catalog/audit-events.js';
import { findChainsOfPolicy, stopArchivesOfPolicy } from '../catalog/chains.js';
import type { CatalogQueries } from '../catalog/client.js';
import { findDestination, lockDestination } from '../catalog/destinations.js';
import type { PolicyRow } from '../catalog/policies.js';
import { changePolicy, findPolicy, findStoredUnderPolicy, lockPolicy } from '../catalog/policies.js';
import { insertWrappingKey, retireWrappingKey } from '../catalog/wrapping-keys.js';
import { TidemarkError } from '../domain/errors.js';
import type { PolicyResource, UpdatePolicy } from '../domain/schemas/policies.js';
import { readPolicyRetention } from '../domain/schemas/policies.js';
import { createWrappingKey } from '../keys/wrapping-key.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPolicy } from './present/present-policy.js';
import { startAttach, startPolicyValidation } from './runs/start-policy-runs.js';
import { startOrLeave } from './runs/start-run.js';
import { wakeArchive } from './runs/wake-chain.js';
import { readPolicySchedule, upsertPolicySchedulesOrLeave } from './schedules/chain-schedules.js';
import { definedOnly } from './shared/defined-only.js';
import { toStoredSchedule } from './shared/policy-schedule.js';
import { notFound } from './shared/refusals.js';

/**
 * Changes a policy; running schedules follow. Switching PITR configures or releases every attached server. Throws `still_referenced`
 * for another destination while something of a chain lies in the present one: chains cannot span two.
 */
export async function updatePolicy(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string; changes: UpdatePolicy },
): Promise<PolicyResource> {
  const { schedule, retention, ...changes } = input.changes;
  const spare = changes.encryption === true ? await createWrappingKey(context.masterKey) : null;
  const { before, row } = await context.catalog.prisma.$transaction(async (tx) => {
    await lockPolicy(tx, input.policyId);
    const before = await findPolicy(tx, principal, input.policyId);
    if (before === null) throw notFound('policy', input.policyId);
    const moved = await assertMayMove(tx, principal, before, changes.destinationId);
    let keyId: string | null | undefined;
    if (spare !== null && before.keyId === null) {
      await insertWrappingKey(tx, { id: spare.key.id, sealed: spare.sealed });
      keyId = spare.key.id;
    } else if (changes.encryption === false && before.keyId !== null) {
      await retireWrappingKey(tx, before.keyId);
      keyId = null;
    }
    const row = await changePolicy(tx, before.id, {
      ...definedOnly(changes),
      ...(schedule === undefined ? {} : { schedule: toStoredSchedule(schedule) }),
      ...(retention === undefined
        ? {}
        : { retention: { ...readPolicyRetention(before.retention), ...definedOnly(retention) } }),
      ...(keyId === undefined ? {} : { keyId }),
      ...(moved ? { forgetCheck: true } : {}),
      ...(moved && before.status !== 'paused' ? { status: 'validating' } : {}),
    });
    if (row.pitr !== before.pitr) await switchPitr(tx, row);
    await recordAudit(tx, principal, 'policy.changed', before.id, { changes: input.changes });
    return { before, row };
  });
  if (row.status === 'validating') await startOrLeave(context, row.id, () => startPolicyValidation(context, row));
  await upsertPolicySchedulesOrLeave(context, row.id);
  if (row.pitr !== before.pitr) await startOrLeave(context, row.id, () => followPitr(context, row));
  else if (beginsIncrementals(before, row)) await startOrLeave(context, row.id, () => inspectAgain(context, row));
  return presentPolicy(row);
}

async function assertMayMove(
  tx: CatalogQueries,
  principal: Principal,
  before: PolicyRow,
  destinationId: string | undefined,
): Promise<boolean> {
  if (destinationId === undefined || destinationId === before.destinationId) return false;
  await lockDestination(tx, destinationId);
  if ((await findDestination(tx, principal, destinationId)) === null) throw notFound('destination', destinationId);
  const references = [
    ...before.attachments.map(({ databaseId }) => databaseId),
    ...(await findStoredUnderPolicy(tx, before.id)),
  ];
  if (references.length > 0) {
    throw new TidemarkError(
      'still_referenced',
      `The destination of policy ${before.name} (${before.id}) cannot change while databases are attached or backups lie there: ${references.join(', ')}. Make another policy instead.`,
      { object: before.id, references },
    );
  }
  return true;
}

/** In the catalog: what each attachment is to become. Those still being set up learn it from the policy anyway. */
async function switchPitr(tx: CatalogQueries, policy: PolicyRow): Promise<void> {
  if (!policy.pitr) await stopArchivesOfPolicy(tx, policy.id);
  for (const { id, status } of policy.attachments) {
    // One that could not be attached waits for a person, who attaches it again.
    const pitrStatus = !policy.pitr ? 'disabled' : status === 'error' ? 'error' : 'configuring';
    await changeAttachment(tx, id, { pitrStatus, forgetPitrError: true });
  }
}

async function followPitr(context: UsecaseContext, policy: PolicyRow): Promise<void> {
  if (!policy.pitr) {
    for (const chain of await findChainsOfPolicy(context.catalog.prisma, policy.id)) await wakeArchive(context, chain);
    return;
  }
  await inspectAgain(context, policy);
}

const beginsIncrementals = (before: PolicyRow, after: PolicyRow) =>
  readPolicySchedule(before.schedule).incremental === 'none' &&
  readPolicySchedule(after.schedule).incremental !== 'none';

/** What the servers need for it is configured, or said, as at the time of attaching. */
async function inspectAgain(context: UsecaseContext, policy: PolicyRow): Promise<void> {
  for (const attachment of await findLiveAttachmentsOfPolicy(context.catalog.prisma, policy.id)) {
    if (attachment.status === 'active') await startAttach(context, attachment, { retryPitr: true });
  }
}
