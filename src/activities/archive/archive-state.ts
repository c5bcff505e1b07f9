import { noteArchiveError as note, readArchiveWish } from '../../catalog/runs/archive-run.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { runShort } from '../run-step.js';
import { noteStall } from './note-stall.js';

/** What the archive entity is to do; null when there is no such chain any more. */
export function readArchive(deps: ActivityDeps): Activities['readArchive'] {
  return ({ chainId }) => runShort(deps, 'read-archive', () => readArchiveWish(deps.catalog, chainId));
}

/** Why the log is not followed just now; shown until it is again. */
export function noteArchiveError(deps: ActivityDeps): Activities['noteArchiveError'] {
  return ({ chainId, error }) =>
    runShort(deps, 'note-archive-error', async () => {
      await note(deps.catalog, chainId, error);
      await noteStall(deps, chainId);
    });
}
