import type { Destination } from '../storage/destination.js';
import { backupPrefix, parseBackupKey } from '../storage/layout.js';
import { removeAttempt } from '../storage/remove-backup.js';

/** Removes every attempt of a backup but the published one, as far as the store shows them. Returns how many there were. */
export async function removeOtherAttempts(options: {
  readonly destination: Destination;
  readonly ownerId: string;
  readonly backupId: string;
  readonly publishedAttemptId: string;
  /** Attempts that the catalog knows: one that died while uploading has no object yet, but an upload to be aborted. */
  readonly knownAttemptIds: readonly string[];
  readonly signal: AbortSignal;
}): Promise<number> {
  const { destination, ownerId, backupId, signal } = options;
  const attempts = new Set(options.knownAttemptIds);
  for await (const { key } of destination.list(`${backupPrefix(ownerId, backupId)}/`, { signal })) {
    const attemptId = parseBackupKey(key)?.attemptId;
    if (attemptId) attempts.add(attemptId);
  }
  attempts.delete(options.publishedAttemptId);
  for (const attemptId of attempts) {
    await removeAttempt({ destination, ownerId, backupId, attemptId, signal });
  }
  return attempts.size;
}
