import type { ScheduleUpdateOptions } from '@temporalio/client';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import { Cron } from 'croner';
import type { ChainRow } from '../../catalog/chains.js';
import { findChainsOfPolicy } from '../../catalog/chains.js';
import type { ChainSchedule, ChainScheduleKind } from '../../domain/chain-schedule.js';
import { catchupOf, chainScheduleKinds, cronLinesOf } from '../../domain/chain-schedule.js';
import { policyScheduleSchema } from '../../domain/schemas/policies.js';
import type { FireChainInput } from '../../workflows/messages.js';
import { workflowTypes } from '../../workflows/messages.js';
import { chainScheduleId, fireChainWorkflowId, taskQueues } from '../../workflows/names.js';
import type { UsecaseContext } from '../context.js';
import { searchAttributesOf } from '../runs/search-attributes.js';
import { chainLabels } from '../runs/wake-chain.js';
import { dropSchedule, putSchedule, scheduleNote } from './put-schedule.js';

/** The schedule column as it was validated when the policy was written. */
export function readPolicySchedule(value: unknown): ChainSchedule {
  return policyScheduleSchema.parse(value);
}

/** The schedules that a chain has under its policy now: id, cron lines and what the Temporal Schedule is made from. */
export function wantedSchedules(chain: ChainRow): { scheduleId: string; kind: ChainScheduleKind }[] {
  // A server without attached databases has no schedules; what is stored of it stays.
  if (chain.attachments.length === 0 || chain.policy.deletedAt !== null) return [];
  const schedule = readPolicySchedule(chain.policy.schedule);
  return chainScheduleKinds
    .filter((kind) => cronLinesOf(schedule, kind).length > 0)
    .map((kind) => ({ scheduleId: chainScheduleId(chain.id, kind), kind }));
}

/** Makes one schedule of a chain what its policy says. */
export async function putChainSchedule(
  context: UsecaseContext,
  chain: ChainRow,
  kind: ChainScheduleKind,
): Promise<void> {
  await putSchedule(context, chainScheduleId(chain.id, kind), optionsOf(context, chain, kind));
}

function optionsOf(context: UsecaseContext, chain: ChainRow, kind: ChainScheduleKind): ScheduleUpdateOptions {
  const { policy } = chain;
  const schedule = readPolicySchedule(policy.schedule);
  const { serverName, policyName } = chainLabels(chain);
  const input: FireChainInput = { chainId: chain.id, kind };
  const what = { full: 'Full', incremental: 'Incremental', retention: 'Retention' }[kind];
  return {
    spec: { cronExpressions: cronLinesOf(schedule, kind), timezone: 'UTC' },
    action: {
      type: 'startWorkflow',
      workflowType: workflowTypes.fireChain,
      workflowId: fireChainWorkflowId(chain.id, kind),
      taskQueue: taskQueues.control,
      args: [input],
      // A fire only writes a row and wakes the chain; one that no worker takes for so long has missed its time.
      workflowExecutionTimeout: '1 hour',
      staticSummary: `${what} of ${serverName} (policy ${policyName})`,
      ...searchAttributesOf(context, { databaseId: null, planId: null, policyId: policy.id, kind: 'fire' }),
    },
    policies: {
      overlap: ScheduleOverlapPolicy.SKIP,
      catchupWindow: catchupOf(schedule, kind),
      pauseOnFailure: false,
    },
    // Retention is paused too: while no backups are made, age alone must not take the good ones.
    state: { paused: policy.status === 'paused', note: scheduleNote('policy', policy) },
  };
}

/** Makes all schedules of all chains of a policy what the policy says; what is wanted no more goes. */
export async function upsertPolicySchedules(context: UsecaseContext, policyId: string): Promise<void> {
  for (const chain of await findChainsOfPolicy(context.catalog.prisma, policyId)) {
    const wanted = wantedSchedules(chain).map(({ kind }) => kind);
    for (const kind of chainScheduleKinds) {
      if (wanted.includes(kind)) await putChainSchedule(context, chain, kind);
      else await dropSchedule(context, chainScheduleId(chain.id, kind));
    }
  }
}

/** The catalog is the desired state: when Temporal does not answer the policy stands, and the reconcile loop makes the schedules. */
export async function upsertPolicySchedulesOrLeave(context: UsecaseContext, policyId: string): Promise<void> {
  try {
    await upsertPolicySchedules(context, policyId);
  } catch (error) {
    context.logger.warn({ err: error, policyId }, 'The schedules are left to the reconcile loop');
  }
}

/** The next runs of one kind after `from`, at most `count`. */
export function nextChainRuns(schedule: ChainSchedule, kind: ChainScheduleKind, from: Date, count = 5): Date[] {
  return cronLinesOf(schedule, kind)
    .flatMap((line) => new Cron(line, { timezone: 'UTC', mode: '5-part', paused: true }).nextRuns(count, from))
    .sort((a, b) => a.getTime() - b.getTime())
    .slice(0, count);
}
