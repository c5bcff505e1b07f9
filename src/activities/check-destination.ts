import { readDestinationAddress, recordDestinationCheck } from '../catalog/runs/checks.js';
import type { RecordedError } from '../domain/errors.js';
import { isTidemarkError, TidemarkError, toRecordedError } from '../domain/errors.js';
import { checkDestination as check } from '../storage/check-destination.js';
import { claimDestination } from '../storage/owner.js';
import type { Activities } from '../workflows/activity-types.js';
import { assertMounted } from './assert-mounted.js';
import type { ActivityDeps } from './deps.js';
import { openStore } from './open-run.js';
import type { Step } from './run-step.js';
import { runStep } from './run-step.js';

/** Puts, gets, lists and deletes a probe, then makes sure that no other installation writes there; the row says how it went. */
export function checkDestination(deps: ActivityDeps): Activities['checkDestination'] {
  return ({ destinationId, takeOver }) =>
    runStep(deps, 'check-destination', async (step) => {
      const error = await probeDestination(deps, step, destinationId, { takeOver: takeOver === true });
      return { ok: error === null, code: error?.code ?? null };
    });
}

/** The check itself, which writes its result on the destination's row. Null: it may be written to. */
export async function probeDestination(
  deps: ActivityDeps,
  step: Step,
  destinationId: string,
  options: { readonly takeOver: boolean },
): Promise<RecordedError | null> {
  const { signal } = step;
  // Before the row: a change in between makes the two differ, never the other way round.
  const seen = await readDestinationAddress(deps.catalog.prisma, destinationId);
  const row = await deps.catalog.prisma.destination.findUnique({ where: { id: destinationId } });
  if (row === null || row.deletedAt !== null) {
    throw new TidemarkError('not_found', `There is no destination ${destinationId}.`, { object: destinationId });
  }
  try {
    const destination = await openStore(deps, row, { anyState: true });
    try {
      // Before the probe: not even that is written into the folder under a share.
      if (!options.takeOver) await assertMounted(deps, row, destination, signal);
      const { error } = await check({ destination, signal });
      if (error === null) {
        const { installationId } = deps;
        await claimDestination({ destination, installationId, takeover: options.takeOver, signal });
      }
      await recordDestinationCheck(deps.catalog, destinationId, seen, error);
      return error;
    } finally {
      destination.close();
    }
  } catch (error) {
    if (!isTidemarkError(error) || signal.aborted) throw error;
    const recorded = toRecordedError(error);
    await recordDestinationCheck(deps.catalog, destinationId, seen, recorded);
    return recorded;
  }
}
