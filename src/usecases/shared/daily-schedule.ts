import type { PlanRow } from '../../catalog/plans.js';
import { retentionSchema } from '../../domain/schemas/plans.js';
import type { DailySchedule } from '../../domain/schemas/policies.js';
import { readSchedule } from '../present/present-plan.js';
import { nextRunsOf } from '../schedules/schedule-times.js';

/** The schedule that a time of day stands for. */
export function toCron({ hour, minute }: { hour: number; minute: number }) {
  return { type: 'cron', expression: `${minute} ${hour} * * *`, timezone: 'UTC' } as const;
}

/** A daily schedule as its plan holds it; the plan is written by `putDailySchedule` only. */
export function presentDailySchedule(plan: PlanRow): DailySchedule {
  const schedule = readSchedule(plan.schedule);
  const [minute, hour] = schedule.type === 'cron' ? schedule.expression.split(' ').map(Number) : [];
  const active = plan.status === 'active';
  const next = active ? nextRunsOf(schedule, new Date(), 1)[0] : undefined;
  return {
    databaseId: plan.databaseId,
    planId: plan.id,
    destinationId: plan.destinationId,
    hour: hour ?? 0,
    minute: minute ?? 0,
    active,
    retentionDays: retentionSchema.parse(plan.retention).days ?? 0,
    nextRunAt: next?.toISOString() ?? null,
    createdAt: plan.createdAt.toISOString(),
    updatedAt: plan.updatedAt.toISOString(),
  };
}
