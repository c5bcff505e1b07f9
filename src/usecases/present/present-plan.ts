import type { PlanRow } from '../../catalog/plans.js';
import type { PlanResource, Schedule } from '../../domain/schemas/plans.js';
import { retentionSchema, scheduleSchema } from '../../domain/schemas/plans.js';
import { nextRunsOf } from '../schedules/schedule-times.js';

const retentionColumn = retentionSchema.nullable().catch(null);

/** The schedule column as it was validated when the plan was written. */
export function readSchedule(value: unknown): Schedule {
  return scheduleSchema.parse(value);
}

export function presentPlan(row: PlanRow): PlanResource {
  const schedule = readSchedule(row.schedule);
  const paused = row.status === 'paused';
  return {
    id: row.id,
    name: row.name,
    databaseId: row.databaseId,
    destinationId: row.destinationId,
    schedule,
    retention: retentionColumn.parse(row.retention),
    encryption: row.encryption,
    origin: row.origin === 'daily' ? 'daily' : 'user',
    status: paused ? 'paused' : 'active',
    ownerId: row.ownerId,
    nextRuns: paused ? [] : nextRunsOf(schedule, new Date()).map((run) => run.toISOString()),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}
