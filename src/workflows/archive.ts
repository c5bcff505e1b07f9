import {
  CancellationScope,
  condition,
  continueAsNew,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { activities, withSummary } from './activity-options.js';
import type { ArchiveWish, FollowResult, RunError } from './activity-types.js';
import { isRetryable, toRunError } from './failures.js';
import type { ArchiveInput } from './messages.js';
import { wakeSignal } from './messages.js';
import { chainWorkflowId } from './names.js';
import { Story } from './story.js';

const wake = defineSignal(wakeSignal);

/** The catalog is read anew this often, whether somebody woke us or not. */
const LOOK_EVERY = '1h';
/** Pauses after failures in a row; the last one is repeated. A wake ends a pause. */
const pauses = ['1s', '2s', '5s', '10s', '20s', '30s'] as const;
/** After what only a person can mend. */
const LONG_PAUSE = '5m';
/** A follower that ran for this long had come about, in milliseconds: what stops it is a new failure. */
const STEADY_MS = 60_000;

/**
 * The archive of one server's log under a policy: follows the log for as long as the catalog wants it, over workers that die, sources that
 * restart and stores that are away, and never silently over a gap. When it is not wanted any more the source is released and the entity
 * ends; whoever wants it again starts it by the same signal.
 */
export async function archive(input: ArchiveInput): Promise<void> {
  const story = new Story();
  const { chainId } = input;
  const wakes = { count: 0 };
  setHandler(wake, () => {
    wakes.count += 1;
  });
  let failures = 0;
  for (;;) {
    const seen = wakes.count;
    const wish = await activities.catalog.readArchive({ chainId });
    if (wish === null) return story.tell('There is no such chain any more');
    if (!wish.wanted) {
      story.status('stopped');
      if (wish.held) await release(chainId, story);
      // A wish that came meanwhile has woken us: read it before ending.
      if (wakes.count === seen) return;
      continue;
    }
    story.status('following');
    const began = Date.now();
    const outcome = await followWhileWanted(chainId, input, wish, wakes);
    // A wake from here on ends the pause, also one that comes while the error is being noted.
    const known = wakes.count;
    if (Date.now() - began > STEADY_MS) failures = 0;
    if (outcome.state === 'failed') {
      failures += 1;
      await activities.catalog.noteArchiveError({ chainId, error: outcome.error });
      story.tell(`Interrupted: ${outcome.error.message}`);
    } else if (outcome.state === 'gap') {
      const noted = await noteGap(chainId, wish, outcome, story);
      failures = noted ? 0 : failures + 1;
    }
    // Between two followers, so that nothing is cut; and before a pause, which a new history can take as well.
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof archive>(input);
    if (failures > 0 && outcome.state !== 'ended')
      await condition(() => wakes.count > known, pauseFor(failures, outcome));
  }
}

type Outcome =
  | { readonly state: 'ended' }
  | { readonly state: 'failed'; readonly error: RunError }
  | ({ readonly state: 'gap' } & Omit<Extract<FollowResult, { ended: 'gap' }>, 'ended'>);

function pauseFor(failures: number, outcome: Outcome) {
  if (outcome.state === 'failed') {
    // A worker that died says nothing about the source: the next one takes over at once.
    if (outcome.error.code === 'worker_lost' || outcome.error.code === 'fenced') return '1s';
    if (!isRetryable(outcome.error.code)) return LONG_PAUSE;
  }
  return pauses[Math.min(failures, pauses.length) - 1] ?? '30s';
}

/** Runs the follower until it ends, or the catalog wants something else of it. */
async function followWhileWanted(
  chainId: string,
  input: ArchiveInput,
  wish: ArchiveWish,
  wakes: { readonly count: number },
): Promise<Outcome> {
  const following = new CancellationScope({ cancellable: true });
  let outcome: Outcome | null = null;
  const ended = following
    .run(() =>
      activities.follow.followLog.executeWithOptions(
        withSummary('follow', `Follow the log of ${input.labels.serverName} (policy ${input.labels.policyName})`),
        [{ chainId }],
      ),
    )
    .then(
      (result) => {
        if (result.ended === 'rotated') outcome = { state: 'ended' };
        // A worker of an earlier build does not say from where.
        else outcome = { state: 'gap', error: result.error, from: result.from ?? null, to: result.to };
      },
      (error: unknown) => {
        // Only our own wish cancels the scope alone; a cancel of the entity reaches us below.
        outcome = isCancellation(error) ? { state: 'ended' } : { state: 'failed', error: toRunError(error) };
      },
    );
  try {
    await watch(chainId, wish, wakes, () => outcome !== null);
  } finally {
    if (outcome === null) following.cancel();
    // Also when the entity itself is cancelled: it closes after its receiver has.
    await CancellationScope.nonCancellable(() => ended);
  }
  return outcome ?? { state: 'ended' };
}

/** Resolves when the follower has ended, when it has to be started anew, or when a new history is due. */
async function watch(
  chainId: string,
  wish: ArchiveWish,
  wakes: { readonly count: number },
  isOver: () => boolean,
): Promise<void> {
  let seen = wakes.count;
  while (!isOver() && !workflowInfo().continueAsNewSuggested) {
    const known = seen;
    await condition(() => isOver() || wakes.count > known, LOOK_EVERY);
    if (isOver()) return;
    // Before the look: who wakes us during it wants another one.
    seen = wakes.count;
    const now = await activities.catalog.readArchive({ chainId });
    if (now === null || !now.wanted || now.settings !== wish.settings) return;
  }
}

async function noteGap(
  chainId: string,
  wish: ArchiveWish,
  { error, from, to }: Extract<Outcome, { state: 'gap' }>,
  story: Story,
): Promise<boolean> {
  const { noted, backupId } = await activities.catalog.noteGap({ chainId, error, from, to });
  story.tell(`Gap: ${error.message}${backupId === null ? '' : ` A full is queued: ${backupId}`}`);
  if (!noted) {
    await activities.catalog.noteArchiveError({ chainId, error });
    return false;
  }
  // The row is there: the reconciler wakes the chain as well, should it not run just now.
  await getExternalWorkflowHandle(chainWorkflowId(wish.policyId, wish.serverId))
    .signal(wake)
    .catch((reason: unknown) => {
      if (isCancellation(reason)) throw reason;
      log.info('the chain is not running', { chainId });
    });
  return true;
}

async function release(chainId: string, story: Story): Promise<void> {
  const { left } = await activities.cleanUp.releaseSource({ chainId });
  story.tell(left === 0 ? 'Stopped; the source is released' : `Stopped; ${left} source(s) could not be released yet`);
}
