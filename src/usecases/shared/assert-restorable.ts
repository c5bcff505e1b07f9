import type { BackupRow } from '../../catalog/backups.js';
import { TidemarkError } from '../../domain/errors.js';

/** Only a completed backup that is not being deleted and whose destination can be read. */
export function assertRestorable(backup: BackupRow): void {
  const object = backup.id;
  if (backup.status !== 'completed') {
    throw new TidemarkError('backup_not_restorable', `The backup ${object} is ${backup.status}, not completed.`, {
      object,
    });
  }
  if (backup.deleteRequestedAt !== null) {
    throw new TidemarkError('backup_not_restorable', `The backup ${object} is being deleted.`, { object });
  }
  assertReadable(backup);
}

/** Throws `destination_deleted` or `destination_disabled`, naming the destination. */
function assertReadable(backup: BackupRow): void {
  const { destination } = backup;
  const what = `The destination ${destination.name} (${destination.id}), where backup ${backup.id} is kept,`;
  if (destination.deletedAt !== null) {
    throw new TidemarkError('destination_deleted', `${what} was deleted.`, { object: destination.id });
  }
  if (!destination.enabled) {
    throw new TidemarkError('destination_disabled', `${what} is disabled.`, { object: destination.id });
  }
}
