import type { ActivityOptions } from '@temporalio/workflow';
import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import { errorTable } from '../domain/errors.js';
import type { Activities } from './activity-types.js';
import { taskQueues } from './names.js';

/** Codes after which the same step would fail the same way until a person has done something. */
const neverRetried = Object.entries(errorTable)
  .filter(([, row]) => !row.retryable)
  .map(([code]) => code);

/** Steps while which applications are shut out: tried again within seconds, for a day. */
const shutOut = {
  taskQueue: taskQueues.data,
  startToCloseTimeout: '1h',
  scheduleToCloseTimeout: '1 day',
  heartbeatTimeout: '20s',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
  retry: {
    initialInterval: '1s',
    backoffCoefficient: 2,
    maximumInterval: '15s',
    nonRetryableErrorTypes: neverRetried,
  },
} as const satisfies ActivityOptions;

/**
 * How every activity is run: one table, nothing left to a default. `WAIT_CANCELLATION_COMPLETED` because the SDK's default reports a
 * cancel before the activity has killed its child and removed what it wrote, and cleaning up beside a running dump deletes nothing.
 */
const options = {
  /** A few statements on the catalog: tried until the catalog answers, because a run must never lose its result. */
  catalog: {
    taskQueue: taskQueues.control,
    // Short, because a stopped worker can take such a step with it.
    startToCloseTimeout: '15s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: '1s',
      backoffCoefficient: 2,
      maximumInterval: '30s',
      nonRetryableErrorTypes: neverRetried,
    },
  },
  /** Settling a run: like `catalog`, but it may also look whether the store holds a manifest. */
  settle: {
    taskQueue: taskQueues.control,
    startToCloseTimeout: '2m',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: '1s',
      backoffCoefficient: 2,
      maximumInterval: '30s',
      nonRetryableErrorTypes: neverRetried,
    },
  },
  /** Waiting for what others do. Ends by itself with what there is, so that nobody waits for a waiter. */
  wait: {
    taskQueue: taskQueues.control,
    startToCloseTimeout: '1h',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: '1s',
      backoffCoefficient: 2,
      maximumInterval: '30s',
      nonRetryableErrorTypes: neverRetried,
    },
  },
  /** A check answers within 30 s, one way or the other. */
  check: {
    taskQueue: taskQueues.control,
    scheduleToCloseTimeout: '28s',
    startToCloseTimeout: '25s',
    heartbeatTimeout: '10s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumAttempts: 1 },
  },
  /** One attempt of a dump. Never retried by Temporal: the workflow begins a new attempt, with a token that fences this one. */
  attempt: {
    taskQueue: taskQueues.data,
    startToCloseTimeout: '14 days',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumAttempts: 1 },
  },
  /** Following a log, for hours. Never retried by Temporal: the workflow decides how long to wait, and what a gap means. */
  follow: {
    taskQueue: taskQueues.stream,
    startToCloseTimeout: '1 day',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumAttempts: 1 },
  },
  /** Looks before anything is written: whoever mistyped an address learns it within a minute, and nothing is lost by asking again. */
  prepare: {
    taskQueue: taskQueues.data,
    startToCloseTimeout: '1h',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: '2s',
      backoffCoefficient: 2,
      maximumInterval: '20s',
      maximumAttempts: 5,
      nonRetryableErrorTypes: neverRetried,
    },
  },
  /** A long step of a restore that may start over; each try raises the restore's token. */
  long: {
    taskQueue: taskQueues.data,
    startToCloseTimeout: '14 days',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: '2s',
      backoffCoefficient: 3,
      maximumInterval: '2m',
      maximumAttempts: 6,
      nonRetryableErrorTypes: neverRetried,
    },
  },
  /** Until it is finished or undone. Undone: trying again at once would shut the applications out once more for the same reason. */
  swap: { ...shutOut, retry: { ...shutOut.retry, nonRetryableErrorTypes: [...neverRetried, 'swap_failed'] } },
  /** Undoing is never given up while there is hope: until then applications are shut out. */
  undo: shutOut,
  /** Removing what a run leaves behind. What it cannot remove, housekeeping finds again. */
  cleanUp: {
    taskQueue: taskQueues.data,
    startToCloseTimeout: '1h',
    heartbeatTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: '2s',
      backoffCoefficient: 3,
      maximumInterval: '1m',
      maximumAttempts: 5,
      nonRetryableErrorTypes: neverRetried,
    },
  },
  /** A mail: tried for days, because a mail server that is being mended is no reason to lose what it was to tell. */
  mail: {
    taskQueue: taskQueues.control,
    startToCloseTimeout: '2m',
    scheduleToCloseTimeout: '3 days',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: {
      initialInterval: '5s',
      backoffCoefficient: 3,
      maximumInterval: '30m',
      nonRetryableErrorTypes: neverRetried,
    },
  },
} as const satisfies Record<string, ActivityOptions>;

export type OptionsName = keyof typeof options;

/** The activities, each kind of step with its row of the table. */
export const activities: Record<OptionsName, ReturnType<typeof proxyActivities<Activities>>> = {
  catalog: proxyActivities<Activities>(options.catalog),
  settle: proxyActivities<Activities>(options.settle),
  wait: proxyActivities<Activities>(options.wait),
  check: proxyActivities<Activities>(options.check),
  attempt: proxyActivities<Activities>(options.attempt),
  follow: proxyActivities<Activities>(options.follow),
  prepare: proxyActivities<Activities>(options.prepare),
  long: proxyActivities<Activities>(options.long),
  swap: proxyActivities<Activities>(options.swap),
  undo: proxyActivities<Activities>(options.undo),
  cleanUp: proxyActivities<Activities>(options.cleanUp),
  mail: proxyActivities<Activities>(options.mail),
};

/** Full options of one row with the line that the Web UI shows for the step. */
export function withSummary(name: OptionsName, summary: string): ActivityOptions {
  return { ...options[name], summary: summary.slice(0, 180) };
}
