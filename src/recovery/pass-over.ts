import { TidemarkError } from '../domain/errors.js';
import { parseBackupKey } from '../storage/layout.js';

/** Which of the backups that a recovery reads an error of damage is about; null when it is about none of them. */
export function damagedBackup(error: TidemarkError, backupIds: readonly string[]): string | null {
  const only = backupIds.length === 1 ? backupIds[0] : undefined;
  const backupId = parseBackupKey(error.details.object ?? '')?.backupId ?? only;
  return backupId !== undefined && backupIds.includes(backupId) ? backupId : null;
}

/** A point that only something damaged reached: that is why it cannot be reached now. `passedOver`: what was found damaged, first of all. */
export function noOtherWay(error: unknown, passedOver: readonly { readonly message: string }[]): unknown {
  const first = passedOver[0];
  if (first === undefined || !(error instanceof TidemarkError) || error.code !== 'outside_window') return error;
  return new TidemarkError(
    'backup_not_restorable',
    `${first.message} Without it the point cannot be reached: ${error.message}`,
    error.details,
    { cause: error },
  );
}
