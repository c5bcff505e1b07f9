import { findSuperseded, forgetSlices } from '../../catalog/runs/slices.js';
import type { LogStore } from '../../recovery/resume-log.js';
import type { ActivityDeps } from '../deps.js';

/** A reader that chose a slice before it was replaced has this long to read it; later it finds the larger one when it tries again. */
const GRACE_MS = 3_600_000;

/** Removes slices that larger ones have replaced, records first: an object without a record is nothing, a record without its object a hole. */
export async function dropSuperseded(
  deps: ActivityDeps,
  chainId: string,
  { place, signal }: LogStore,
): Promise<number> {
  const rows = await findSuperseded(deps.catalog, chainId, new Date(Date.now() - GRACE_MS));
  if (rows.length === 0) return 0;
  await place.destination.remove(
    rows.map((row) => row.recordKey),
    { signal },
  );
  await place.destination.remove(
    rows.map((row) => row.objectKey),
    { signal },
  );
  await forgetSlices(
    deps.catalog,
    rows.map((row) => row.id),
  );
  return rows.length;
}
