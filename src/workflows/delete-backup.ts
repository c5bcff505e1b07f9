import { sleep } from '@temporalio/workflow';
import { deleteOne } from './backup.js';
import { closeAsFailed } from './failures.js';
import type { DeleteBackupInput, RunResult } from './messages.js';
import { Story } from './story.js';

/** Pauses between tries; after the last one housekeeping goes on trying every hour and `deleteError` says why. */
const pauses = ['30s', '5m', '30m'] as const;

/** Removes a backup from its destination, then marks it deleted. */
export async function deleteBackup(input: DeleteBackupInput): Promise<RunResult> {
  const story = new Story();
  if (await deleteOne(input.backupId)) {
    story.tell('Removed from its destination');
    return { status: 'completed', code: null };
  }
  for (const pause of pauses) {
    story.tell(`The destination refused; next try in ${pause}`);
    await sleep(pause);
    if (await deleteOne(input.backupId)) {
      story.tell('Removed from its destination');
      return { status: 'completed', code: null };
    }
  }
  throw closeAsFailed({
    code: 'destination_unreachable',
    message: `The objects of ${input.backupId} could not be removed; housekeeping tries again every hour.`,
  });
}
