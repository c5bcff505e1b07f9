import { findSuperseded, forgetSlices } from '../../catalog/runs/slices.js';
import type { Destination } from '../../storage/destination.js';
import type { ActivityDeps } from '../deps.js';

/** A reader that chose a slice before it was replaced has this long to read it; later it finds the larger one when it tries again. */
const GRACE_MS = 3_600_000;

type Opened = { readonly destination: Destination; readonly signal: AbortSignal };

/** Removes slices that larger ones have replaced. Returns how many. */
export async function dropSuperseded(deps: ActivityDeps, chainId: string, opened: Opened): Promise<number> {
  const rows = await findSuperseded(deps.catalog, chainId, new Date(Date.now() - GRACE_MS));
  await removeSlices(deps, opened, rows);
  return rows.length;
}

/** Removes slices that nothing names any more, records first: an object without a record is nothing, a record without its object a hole. */
export async function removeSlices(
  deps: ActivityDeps,
  { destination, signal }: Opened,
  rows: readonly { readonly id: string; readonly recordKey: string; readonly objectKey: string }[],
): Promise<void> {
  if (rows.length === 0) return;
  await destination.remove(
    rows.map((row) => row.recordKey),
    { signal },
  );
  await destination.remove(
    rows.map((row) => row.objectKey),
    { signal },
  );
  await forgetSlices(
    deps.catalog,
    rows.map((row) => row.id),
  );
}
