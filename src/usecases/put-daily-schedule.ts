import { findLiveAttachment } from '../catalog/attachments.js';
import { recordAudit } from '../catalog/audit-events.js';
import type { CatalogQueries } from '../catalog/client.js';
import type { DatabaseRow } from '../catalog/databases.js';
import { findDatabase, lockDatabase } from '../catalog/databases.js';
import { findDestination, findDestinations, lockDestination } from '../catalog/destinations.js';
import { changePlan, findDailyPlan, insertPlan } from '../catalog/plans.js';
import { insertWrappingKey } from '../catalog/wrapping-keys.js';
import { TidemarkError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import type { DailySchedule, DailyScheduleRequest } from '../domain/schemas/policies.js';
import { createWrappingKey } from '../keys/wrapping-key.js';
import type { Principal, UsecaseContext } from './context.js';
import { upsertScheduleOrLeave } from './schedules/upsert-schedule.js';
import { presentDailySchedule, toCron } from './shared/daily-schedule.js';
import { notFound } from './shared/refusals.js';

/**
 * Gives a database its one daily schedule, or changes it. It is kept as an encrypted plan, so that its backups are as any other. Throws
 * `already_attached` when it would run beside a policy and `destination_required` when none is named and none can be meant.
 */
export async function putDailySchedule(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string } & DailyScheduleRequest,
): Promise<DailySchedule> {
  const made = await createWrappingKey(context.masterKey);
  const row = await context.catalog.prisma.$transaction(async (tx) => {
    await lockDatabase(tx, input.databaseId);
    const database = await findDatabase(tx, principal, input.databaseId);
    if (database === null) throw notFound('database', input.databaseId);
    if (input.active) await assertNotAttached(tx, database);
    const before = await findDailyPlan(tx, database.id);
    const destinationId = input.destinationId ?? before?.destinationId ?? (await findOnly(tx, principal, database));
    await lockDestination(tx, destinationId);
    if ((await findDestination(tx, principal, destinationId)) === null) throw notFound('destination', destinationId);
    const wanted = {
      destinationId,
      schedule: toCron(input),
      retention: { days: input.retentionDays },
      status: input.active ? ('active' as const) : ('paused' as const),
    };
    if (before !== null) {
      await recordAudit(tx, principal, 'plan.changed', before.id, { changes: wanted });
      return await changePlan(tx, before.id, wanted);
    }
    const { status, ...fields } = wanted;
    await insertWrappingKey(tx, { id: made.key.id, sealed: made.sealed });
    const created = await insertPlan(tx, {
      ...fields,
      id: newId('plan'),
      name: `Daily backup of ${database.name}`,
      databaseId: database.id,
      encryption: true,
      keyId: made.key.id,
      ownerId: database.ownerId,
      origin: 'daily',
    });
    await recordAudit(tx, principal, 'plan.created', created.id, { databaseId: database.id, ...wanted });
    return status === 'active' ? created : await changePlan(tx, created.id, { status });
  });
  await upsertScheduleOrLeave(context, row);
  return presentDailySchedule(row);
}

async function assertNotAttached(tx: CatalogQueries, database: DatabaseRow): Promise<void> {
  const attachment = await findLiveAttachment(tx, database.id);
  if (attachment === null) return;
  throw new TidemarkError(
    'already_attached',
    `The database ${database.name} (${database.id}) is attached to policy ${attachment.policy.name} (${attachment.policyId}), whose schedule it follows.`,
    { object: database.id, references: [attachment.policyId] },
  );
}

/** The only destination that can be meant: of those that the database's owner has, when there is one. */
async function findOnly(tx: CatalogQueries, principal: Principal, database: DatabaseRow): Promise<string> {
  const owner = { userId: database.ownerId, role: 'user' } as const;
  const viewer = principal.userId === database.ownerId ? principal : owner;
  const { rows } = await findDestinations(tx, viewer, { limit: 2 });
  const [only, ...others] = rows;
  if (only !== undefined && others.length === 0) return only.id;
  throw new TidemarkError(
    'destination_required',
    `Say where the backups of ${database.name} (${database.id}) go: ${only === undefined ? 'there is no destination yet' : 'there are several destinations'}.`,
    { object: database.id, fields: [{ field: '/destinationId', message: 'is required' }] },
  );
}
