import { findPlansForSchedules } from '../../catalog/plans.js';
import { planScheduleId } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { readSchedule } from '../present/present-plan.js';
import { ensureHousekeeping } from '../schedules/ensure-housekeeping.js';
import { removeSchedule } from '../schedules/remove-schedule.js';
import { revisionOfNote, upsertSchedule } from '../schedules/upsert-schedule.js';
import type { PassResult } from './pass-result.js';

const prefix = planScheduleId('');

/**
 * Makes Temporal's schedules what the plans say: creates missing ones, updates those made from an older revision or paused by hand
 * against the plan, removes those without a plan. The listing is read before the plans: a plan made in between has a row, so its
 * schedule is never taken for an orphan. It may lag behind; then the same change is made twice, which is harmless.
 */
export async function reconcileSchedules(context: UsecaseContext, result: PassResult): Promise<void> {
  await ensureHousekeeping(context);
  const known = await listKnown(context);
  const plans = await findPlansForSchedules(context.catalog.prisma);
  const wanted = new Set<string>();
  for (const plan of plans) {
    const { type } = readSchedule(plan.schedule);
    if (type === 'manual' || type === 'realtime') continue;
    wanted.add(plan.id);
    const found = known.get(plan.id);
    if (found?.revision === plan.revision && found.paused === (plan.status === 'paused')) continue;
    await result.attempt(`schedule of ${plan.id}`, async () => {
      await upsertSchedule(context, plan);
      result.note(found === undefined ? 'schedulesCreated' : 'schedulesUpdated', plan.id);
    });
  }
  for (const planId of known.keys()) {
    if (wanted.has(planId)) continue;
    await result.attempt(`schedule of ${planId}`, async () => {
      await removeSchedule(context, planId);
      result.note('schedulesRemoved', planId);
    });
  }
}

type Known = Map<string, { revision: number | null; paused: boolean }>;

async function listKnown(context: UsecaseContext): Promise<Known> {
  return await context.temporal.withDeadline(Date.now() + 60_000, async () => {
    const known: Known = new Map();
    for await (const { scheduleId, state } of context.temporal.schedule.list()) {
      if (!scheduleId.startsWith(prefix)) continue;
      known.set(scheduleId.slice(prefix.length), { revision: revisionOfNote(state.note), paused: state.paused });
    }
    return known;
  });
}
