import { recordAudit } from '../catalog/audit-events.js';
import { findDatabase, lockDatabase } from '../catalog/databases.js';
import { findDestination, lockDestination } from '../catalog/destinations.js';
import { insertPlan } from '../catalog/plans.js';
import { insertWrappingKey } from '../catalog/wrapping-keys.js';
import { newId } from '../domain/ids.js';
import type { CreatePlan, PlanResource } from '../domain/schemas/plans.js';
import { createWrappingKey } from '../keys/wrapping-key.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentPlan } from './present/present-plan.js';
import { assertSchedule } from './schedules/schedule-times.js';
import { upsertScheduleOrLeave } from './schedules/upsert-schedule.js';
import { notFound } from './shared/refusals.js';

/**
 * Makes a plan with its own wrapping key and its Temporal Schedule. It belongs to the owner of the database, also when an admin made
 * it. Throws `invalid_request` for a schedule that cannot run, `not_supported` for realtime, `not_found` for database or destination.
 */
export async function createPlan(
  context: UsecaseContext,
  principal: Principal,
  input: CreatePlan,
): Promise<PlanResource> {
  assertSchedule(input.schedule, new Date());
  const made = input.encryption ? await createWrappingKey(context.masterKey) : null;
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    // Locked before looking: a deletion under way would otherwise leave the plan without its database.
    await lockDatabase(tx, input.databaseId);
    await lockDestination(tx, input.destinationId);
    const database = await findDatabase(tx, principal, input.databaseId);
    if (database === null) throw notFound('database', input.databaseId);
    const destination = await findDestination(tx, principal, input.destinationId);
    if (destination === null) throw notFound('destination', input.destinationId);
    if (made !== null) await insertWrappingKey(tx, { id: made.key.id, sealed: made.sealed });
    const created = await insertPlan(tx, {
      id: newId('plan'),
      name: input.name,
      databaseId: database.id,
      destinationId: destination.id,
      schedule: input.schedule,
      retention: input.retention ?? null,
      encryption: input.encryption,
      keyId: made?.key.id ?? null,
      ownerId: database.ownerId,
    });
    await recordAudit(tx, principal, 'plan.created', created.id, {
      name: created.name,
      databaseId: database.id,
      destinationId: destination.id,
      schedule: input.schedule,
      encryption: input.encryption,
    });
    return created;
  });
  await upsertScheduleOrLeave(context, row);
  return presentPlan(row);
}
