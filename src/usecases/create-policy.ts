import { findUser } from '../catalog/accounts/users.js';
import { recordAudit } from '../catalog/audit-events.js';
import { findDestination, lockDestination } from '../catalog/destinations.js';
import { insertPolicy } from '../catalog/policies.js';
import { insertWrappingKey } from '../catalog/wrapping-keys.js';
import { newId } from '../domain/ids.js';
import type { CreatePolicy, PolicyResource } from '../domain/schemas/policies.js';
import { defaultPolicyRetention } from '../domain/schemas/policies.js';
import { createWrappingKey } from '../keys/wrapping-key.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPolicy } from './present/present-policy.js';
import { startPolicyValidation } from './runs/start-policy-runs.js';
import { startOrLeave } from './runs/start-run.js';
import { definedOnly } from './shared/defined-only.js';
import { toStoredSchedule } from './shared/policy-schedule.js';
import { assertAdmin, invalidField, notFound } from './shared/refusals.js';

/**
 * Makes a policy with its own wrapping key. It is `validating` until a worker has written to its destination and read back. Throws
 * `not_found` for the destination, `forbidden` for another owner unless the caller is an admin.
 */
export async function createPolicy(
  context: UsecaseContext,
  principal: Principal,
  input: CreatePolicy,
): Promise<PolicyResource> {
  const ownerId = input.ownerId ?? principal.userId;
  if (ownerId !== principal.userId) assertAdmin(principal, 'make a policy for another user');
  const schedule = toStoredSchedule(input.schedule);
  const made = input.encryption ? await createWrappingKey(context.masterKey) : null;
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    if ((await findUser(tx, ownerId)) === null) throw invalidField('/ownerId', 'must be a user');
    await lockDestination(tx, input.destinationId);
    const destination = await findDestination(tx, principal, input.destinationId);
    if (destination === null) throw notFound('destination', input.destinationId);
    if (made !== null) await insertWrappingKey(tx, { id: made.key.id, sealed: made.sealed });
    const created = await insertPolicy(tx, {
      id: newId('policy'),
      name: input.name,
      ownerId,
      destinationId: destination.id,
      schedule,
      pitr: input.pitr,
      retention: { ...defaultPolicyRetention, ...definedOnly(input.retention ?? {}) },
      encryption: input.encryption,
      keyId: made?.key.id ?? null,
    });
    await recordAudit(tx, principal, 'policy.created', created.id, {
      name: created.name,
      ownerId,
      destinationId: destination.id,
      schedule,
      pitr: input.pitr,
      encryption: input.encryption,
    });
    return created;
  });
  await startOrLeave(context, row.id, () => startPolicyValidation(context, row));
  return presentPolicy(row);
}
