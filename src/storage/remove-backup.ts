import type { Destination } from './destination.js';
import { attemptPrefix, backupPrefix, manifestKey } from './layout.js';

type Options = {
  readonly destination: Destination;
  /** Database or server: `backupOwner` of the row. */
  readonly ownerId: string;
  readonly backupId: string;
  readonly signal: AbortSignal;
};

/** Deletes a whole backup: the manifest first (without it there is no backup), then everything under it. Safe to repeat after a crash. */
export async function removeBackup(options: Options): Promise<void> {
  const { destination, ownerId, backupId, signal } = options;
  await destination.remove([manifestKey(ownerId, backupId)], { signal });
  await removeBelow(destination, `${backupPrefix(ownerId, backupId)}/`, signal);
}

/**
 * Deletes what one attempt wrote, with its unfinished uploads: after a failure or cancellation, or when a later attempt has taken over
 * (then also of an attempt whose worker was killed). Only for an attempt that no manifest names. Safe to repeat.
 */
export async function removeAttempt(options: Options & { readonly attemptId: string }): Promise<void> {
  const { destination, ownerId, backupId, attemptId, signal } = options;
  await removeBelow(destination, `${attemptPrefix(ownerId, backupId, attemptId)}/`, signal);
}

async function removeBelow(destination: Destination, prefix: string, signal: AbortSignal): Promise<void> {
  // Uploads first: one that is completed meanwhile becomes an object, which the listing then finds.
  await destination.sweepUploads(prefix, { olderThan: new Date(Date.now() + 24 * 3600_000), signal });
  const keys: string[] = [];
  for await (const { key } of destination.list(prefix, { signal })) keys.push(key);
  await destination.remove(keys, { signal });
}
