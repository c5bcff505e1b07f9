import { findLiveChains } from '../../catalog/chains.js';
import { findPlansForSchedules } from '../../catalog/plans.js';
import { chainScheduleKinds } from '../../domain/chain-schedule.js';
import { chainScheduleId, planScheduleId } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { readSchedule } from '../present/present-plan.js';
import { putChainSchedule, wantedSchedules } from '../schedules/chain-schedules.js';
import { ensureHousekeeping } from '../schedules/ensure-housekeeping.js';
import { dropSchedule, revisionOfNote } from '../schedules/put-schedule.js';
import { upsertSchedule } from '../schedules/upsert-schedule.js';
import type { PassResult } from './pass-result.js';

const prefixes = [planScheduleId(''), ...chainScheduleKinds.map((kind) => chainScheduleId('', kind))];

type Wanted = {
  readonly scheduleId: string;
  /** The plan or chain, as it is named in the log. */
  readonly ownerId: string;
  readonly revision: number;
  readonly paused: boolean;
  put(): Promise<void>;
};

/**
 * Makes Temporal's schedules what the plans and policies say: creates missing ones, updates those made from an older revision or paused
 * by hand against their owner, removes those without one. The listing is read before the rows: a plan made in between has a row, so its
 * schedule is never taken for an orphan. It may lag behind; then the same change is made twice, which is harmless.
 */
export async function reconcileSchedules(context: UsecaseContext, result: PassResult): Promise<void> {
  await ensureHousekeeping(context);
  const known = await listKnown(context);
  const wanted = [...(await planSchedules(context)), ...(await chainSchedules(context))];
  for (const { scheduleId, ownerId, revision, paused, put } of wanted) {
    const found = known.get(scheduleId);
    if (found?.revision === revision && found.paused === paused) continue;
    await result.attempt(`schedule ${scheduleId}`, async () => {
      await put();
      result.note(found === undefined ? 'schedulesCreated' : 'schedulesUpdated', ownerId);
    });
  }
  const ids = new Set(wanted.map(({ scheduleId }) => scheduleId));
  for (const scheduleId of known.keys()) {
    if (ids.has(scheduleId)) continue;
    await result.attempt(`schedule ${scheduleId}`, async () => {
      await dropSchedule(context, scheduleId);
      result.note('schedulesRemoved', scheduleId.split('/')[1] ?? scheduleId);
    });
  }
}

async function planSchedules(context: UsecaseContext): Promise<Wanted[]> {
  const plans = await findPlansForSchedules(context.catalog.prisma);
  return plans
    .filter((plan) => !['manual', 'realtime'].includes(readSchedule(plan.schedule).type))
    .map((plan) => ({
      scheduleId: planScheduleId(plan.id),
      ownerId: plan.id,
      revision: plan.revision,
      paused: plan.status === 'paused',
      put: () => upsertSchedule(context, plan),
    }));
}

async function chainSchedules(context: UsecaseContext): Promise<Wanted[]> {
  const chains = await findLiveChains(context.catalog.prisma);
  return chains.flatMap((chain) =>
    wantedSchedules(chain).map(({ scheduleId, kind }) => ({
      scheduleId,
      ownerId: chain.id,
      revision: chain.policy.revision,
      paused: chain.policy.status === 'paused',
      put: () => putChainSchedule(context, chain, kind),
    })),
  );
}

type Known = Map<string, { revision: number | null; paused: boolean }>;

async function listKnown(context: UsecaseContext): Promise<Known> {
  return await context.temporal.withDeadline(Date.now() + 60_000, async () => {
    const known: Known = new Map();
    for await (const { scheduleId, state } of context.temporal.schedule.list()) {
      if (!prefixes.some((prefix) => scheduleId.startsWith(prefix))) continue;
      known.set(scheduleId, { revision: revisionOfNote(state.note), paused: state.paused });
    }
    return known;
  });
}
