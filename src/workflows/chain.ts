import {
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  executeChild,
  isCancellation,
  log,
  ParentClosePolicy,
  setHandler,
  sleep,
  WorkflowIdReusePolicy,
  workflowInfo,
} from '@temporalio/workflow';
import { activities } from './activity-options.js';
import { backup } from './backup.js';
import type { ChainStep } from './chain-activity-types.js';
import { toRunError } from './failures.js';
import type { ChainInput } from './messages.js';
import { retainSignal, wakeSignal } from './messages.js';
import { backupWorkflowId, priorities, taskQueues } from './names.js';
import { countText, ownSearchAttributes, Story, searchAttributeKeys } from './story.js';

const wake = defineSignal(wakeSignal);
const retain = defineSignal(retainSignal);

/** The catalog is read anew this often, whether somebody woke us or not. */
const LOOK_EVERY = '1h';
/** A run that something else has started: looked at this often until it has its result. */
const ELSEWHERE_EVERY = '30s';

type Run = Extract<ChainStep, { state: 'run' }>;

/**
 * All of one server's backups under a policy, one at a time. What is due stands in the catalog, put there by schedules, people and the
 * archive; this takes it in order and waits for each. Ends when no database is attached and nothing is to be done any more; whoever attaches
 * again starts it by the same signal.
 */
export async function chain(input: ChainInput): Promise<void> {
  const story = new Story();
  const { chainId } = input;
  let woken = false;
  setHandler(wake, () => {
    woken = true;
  });
  let retentionDue = input.retentionDue === true;
  setHandler(retain, () => {
    retentionDue = true;
  });
  for (;;) {
    woken = false;
    const step = await activities.catalog.readChain({ chainId });
    if (step.state === 'gone') return story.tell('There is no such chain any more');
    if (step.state === 'run') {
      story.status('in_progress');
      const outcome = await runOne(step, input, story);
      if (outcome === 'completed') retentionDue = true;
      // Started elsewhere: it is looked at again, without hurry.
      if (outcome === 'elsewhere') await condition(() => woken, ELSEWHERE_EVERY);
    } else if (retentionDue) {
      // Between two runs, so that nothing is deleted that one of them builds on.
      retentionDue = false;
      await applyRetention(chainId, story);
    } else if (!woken) {
      story.status('waiting');
      if (!step.alive) return;
      await condition(() => woken || retentionDue, LOOK_EVERY);
    }
    // Between two runs. A wake that comes meanwhile is not lost: the next history begins by reading the catalog.
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof chain>({ ...input, retentionDue });
  }
}

/** Runs what the catalog says is next, as a workflow of its own that outlives this one if need be. */
async function runOne(run: Run, input: ChainInput, story: Story): Promise<'completed' | 'ended' | 'elsewhere'> {
  const { backupId, kind } = run;
  story.tell(`${kind === 'full' ? 'Full' : 'Incremental'} ${backupId}`);
  try {
    await executeChild(backup, {
      workflowId: backupWorkflowId(backupId),
      taskQueue: taskQueues.control,
      args: [{ backupId, trigger: run.trigger, labels: run.labels }],
      // Of a run that lost its workflow; a settled row lets it end at once.
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      parentClosePolicy: ParentClosePolicy.ABANDON,
      priority: { priorityKey: priorities[run.trigger === 'manual' ? 'manual' : 'scheduled'] },
      staticSummary: `Take a ${kind} of ${input.labels.serverName} (policy ${input.labels.policyName})`,
      ...attributesOf(run),
    });
  } catch (error) {
    if (error instanceof Error && error.name === 'WorkflowExecutionAlreadyStartedError') return 'elsewhere';
    // A child that was cancelled by itself looks like our own cancel, except that our scope still stands.
    if (CancellationScope.current().consideredCancelled) throw error;
    story.tell(`${backupId} ended: ${toRunError(error).message}`);
  }
  return await CancellationScope.nonCancellable(() => settle(backupId));
}

/** A run whose workflow was terminated has no result of its own: it gets one here, so that the chain goes on. */
async function settle(backupId: string): Promise<'completed' | 'ended'> {
  const { settled, completed } = await activities.catalog.noteChainRun({ backupId });
  if (settled) return completed ? 'completed' : 'ended';
  const error = { code: 'workflow_lost', message: 'The workflow of this run was ended from outside.' } as const;
  await activities.settle.settleBackup({ backupId, status: 'failed', error });
  try {
    await activities.cleanUp.removeRemains({ backupId });
  } catch (reason) {
    log.warn('remains of attempts stay until the sweep', { backupId, code: toRunError(reason).code });
  }
  const again = await activities.catalog.noteChainRun({ backupId });
  if (!again.settled) await sleep(ELSEWHERE_EVERY);
  return again.completed ? 'completed' : 'ended';
}

/** What could not be deleted now is tried again the next time; it stands on its rows. */
async function applyRetention(chainId: string, story: Story): Promise<void> {
  try {
    const { deletedBackups, deletedSlices } = await activities.cleanUp.applyChainRetention({ chainId });
    if (deletedBackups.length + deletedSlices === 0) return;
    story.tell(
      `Retention removed ${countText(deletedBackups.length, 'backup')}, ${countText(deletedSlices, 'log slice')}`,
    );
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('retention is left to the next time', { chainId, code: toRunError(error).code });
  }
}

/** The run's own, where the namespace knows them: that of the entity is the proof. */
function attributesOf(run: Run) {
  if (ownSearchAttributes().get(searchAttributeKeys.status) === undefined) return {};
  const typedSearchAttributes = ownSearchAttributes().updateCopy([
    { key: searchAttributeKeys.database, value: run.databaseId },
    { key: searchAttributeKeys.kind, value: run.kind },
    { key: searchAttributeKeys.status, value: 'in_progress' },
  ]);
  return { typedSearchAttributes };
}
