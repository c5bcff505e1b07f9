import { recordAudit } from '../catalog/audit-events.js';
import { findDestination, lockDestination } from '../catalog/destinations.js';
import { changePlan, findPlan, lockPlan } from '../catalog/plans.js';
import { insertWrappingKey, retireWrappingKey } from '../catalog/wrapping-keys.js';
import { TidemarkError } from '../domain/errors.js';
import type { PlanResource, UpdatePlan } from '../domain/schemas/plans.js';
import { createWrappingKey } from '../keys/wrapping-key.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPlan } from './present/present-plan.js';
import { assertSchedule } from './schedules/schedule-times.js';
import { upsertScheduleOrLeave } from './schedules/upsert-schedule.js';
import { definedOnly } from './shared/defined-only.js';
import { notFound } from './shared/refusals.js';

/** Changes a plan. Backups made before keep their destination and key; switching encryption on again makes a new key. */
export async function updatePlan(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string; changes: UpdatePlan },
): Promise<PlanResource> {
  const { changes } = input;
  if (changes.schedule !== undefined) assertSchedule(changes.schedule, new Date());
  const spare = changes.encryption === true ? await createWrappingKey(context.masterKey) : null;
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    await lockPlan(tx, input.planId);
    const before = await findPlan(tx, principal, input.planId);
    if (before === null) throw notFound('plan', input.planId);
    if (before.origin === 'daily') {
      throw new TidemarkError(
        'conflict',
        `The plan ${before.id} is the daily schedule of database ${before.databaseId}; it is changed there.`,
        { object: before.id, references: [before.databaseId] },
      );
    }
    if (changes.destinationId !== undefined) {
      await lockDestination(tx, changes.destinationId);
      if ((await findDestination(tx, principal, changes.destinationId)) === null) {
        throw notFound('destination', changes.destinationId);
      }
    }
    let keyId: string | null | undefined;
    if (spare !== null && before.keyId === null) {
      await insertWrappingKey(tx, { id: spare.key.id, sealed: spare.sealed });
      keyId = spare.key.id;
    } else if (changes.encryption === false && before.keyId !== null) {
      await retireWrappingKey(tx, before.keyId);
      keyId = null;
    }
    const changed = await changePlan(tx, before.id, {
      ...definedOnly(changes),
      ...(keyId === undefined ? {} : { keyId }),
    });
    await recordAudit(tx, principal, 'plan.changed', before.id, { changes });
    return changed;
  });
  await upsertScheduleOrLeave(context, row);
  return presentPlan(row);
}
