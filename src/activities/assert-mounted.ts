import { hasStoredBackups } from '../catalog/runs/checks.js';
import type { Destination } from '../storage/destination.js';
import { requireOwner } from '../storage/owner.js';
import type { ActivityDeps } from './deps.js';
import type { DestinationRow } from './open-run.js';

/**
 * Throws `destination_not_mounted` for a folder that was claimed before (a check succeeded there, or a backup was completed) and has lost
 * its owner.json: the share is not mounted, and what is there is the empty folder underneath. Call it before anything is written or removed.
 * Buckets are not asked: one that is not there says so itself.
 */
export async function assertMounted(
  deps: ActivityDeps,
  row: DestinationRow,
  destination: Destination,
  signal: AbortSignal,
): Promise<void> {
  if (row.type !== 'directory') return;
  const claimed = row.credentialsVerifiedAt !== null || (await hasStoredBackups(deps.catalog.prisma, row.id));
  if (claimed) await requireOwner({ destination, signal });
}
