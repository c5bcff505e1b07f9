import {
  findExpiredBackups,
  findExpiredSlices,
  findPins,
  markExpired,
  readRetention,
  unmarkPinned,
} from '../../catalog/runs/chain-retention.js';
import { noteDeletionRefused } from '../../catalog/runs/housekeeping.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import { decideRetention } from '../../domain/chain-retention.js';
import type { RecordedError } from '../../domain/errors.js';
import { toRecordedError } from '../../domain/errors.js';
import { assertNotForeign } from '../../storage/owner.js';
import type { Activities } from '../../workflows/activity-types.js';
import { dropSuperseded, removeSlices } from '../archive/drop-superseded.js';
import { assertMounted } from '../assert-mounted.js';
import { removeRequested } from '../delete-backup-objects.js';
import type { ActivityDeps } from '../deps.js';
import { openStore } from '../open-run.js';
import type { Step } from '../run-step.js';
import { runStep } from '../run-step.js';

/** How much one call removes at most: the rest stands on its rows for the next one. */
const BACKUPS = 100;
const SLICE_BATCHES = 200;
const BATCH = 500;

/**
 * Deletes what a policy's retention no longer keeps of a chain, and what earlier calls could not. First everything that goes is marked, so
 * that no restore plans with it any more; then the objects are removed. What the store refuses stays marked, people are told once a day,
 * and the next call tries again.
 */
export function applyChainRetention(deps: ActivityDeps): Activities['applyChainRetention'] {
  return ({ chainId }) =>
    runStep(deps, 'apply-chain-retention', async (step) => {
      const found = await readRetention(deps.catalog, chainId, new Date());
      if (found.state === 'ready') await markExpired(deps.catalog, chainId, decideRetention(found.input));
      else deps.logger.info({ chainId, because: found.because }, 'retention decides nothing now');
      const refused: RecordedError[] = [];
      const deletedBackups = await removeBackups(deps, step, chainId, refused);
      const deletedSlices = await removeLog(deps, step, chainId, refused);
      if (refused[0] !== undefined) await tell(deps, chainId, refused[0], refused.length);
      return { deletedBackups, deletedSlices };
    });
}

async function removeBackups(deps: ActivityDeps, step: Step, chainId: string, refused: RecordedError[]) {
  const removed: string[] = [];
  for (const backupId of await findExpiredBackups(deps.catalog, chainId, BACKUPS)) {
    try {
      await removeRequested(deps, step, backupId);
      removed.push(backupId);
      step.report({ backups: removed.length });
    } catch (error) {
      step.signal.throwIfAborted();
      const reason = toRecordedError(error);
      await noteDeletionRefused(deps.catalog, backupId, reason);
      // Read by a restore just now: that is no refusal.
      if (reason.code !== 'conflict') refused.push(reason);
    }
  }
  return removed;
}

async function removeLog(deps: ActivityDeps, step: Step, chainId: string, refused: RecordedError[]): Promise<number> {
  const { undecided, ...pins } = await findPins(deps.catalog.prisma, chainId);
  // It may have looked before the slices were marked; the next call knows what it reads.
  if (undecided.length > 0) return 0;
  await unmarkPinned(deps.catalog, chainId, pins);
  if ((await findExpiredSlices(deps.catalog, chainId, 1)).length === 0) return 0;
  const { policy } = await deps.catalog.prisma.chain.findUniqueOrThrow({
    where: { id: chainId },
    include: { policy: { include: { destination: true } } },
  });
  let removed = 0;
  try {
    const destination = await openStore(deps, policy.destination, { anyState: true });
    try {
      await assertMounted(deps, policy.destination, destination, step.signal);
      await assertNotForeign({ destination, installationId: deps.installationId, signal: step.signal });
      const opened = { destination, signal: step.signal };
      for (let batch = 0; batch < SLICE_BATCHES; batch += 1) {
        const rows = await findExpiredSlices(deps.catalog, chainId, BATCH);
        await removeSlices(deps, opened, rows);
        removed += rows.length;
        step.report({ slices: removed });
        if (rows.length < BATCH) break;
      }
      // Also when nothing follows the log any more, which does this otherwise.
      await dropSuperseded(deps, chainId, opened);
    } finally {
      destination.close();
    }
  } catch (error) {
    step.signal.throwIfAborted();
    deps.logger.warn({ err: error, chainId }, 'log slices stay for now');
    refused.push(toRecordedError(error));
  }
  return removed;
}

/** Once a day: a store that refuses does so for every object. */
async function tell(deps: ActivityDeps, chainId: string, { message }: RecordedError, count: number): Promise<void> {
  const { policy, policyId, server } = await deps.catalog.prisma.chain.findUniqueOrThrow({
    where: { id: chainId },
    include: { policy: { include: { destination: true } }, server: true },
  });
  await noteEvent(deps.catalog, {
    event: 'retention_refused',
    dedupeKey: `retention_refused/${chainId}/${new Date().toISOString().slice(0, 10)}`,
    policyId,
    what: `The retention of the policy ${policy.name} could not delete ${count === 1 ? 'something' : `${count} things`} of ${server.identity} in ${policy.destination.name}. It is not restorable any more, but its objects take up space.`,
    why: message,
    nextStep: 'It is tried again with every retention. Let the destination permit deleting, or mount it again.',
  });
}
