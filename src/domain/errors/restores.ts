import type { ErrorRow } from './row.js';
import { row } from './row.js';

/** What ends a restore. */
export const restoreErrors = {
  target_exists: row(
    409,
    false,
    'caller',
    'The target already exists',
    'Choose another name, or send overwrite: true.',
  ),
  target_not_empty: row(
    409,
    false,
    'caller',
    'The target database is not empty',
    'Choose an empty database, or send overwrite: true.',
  ),
  target_in_use_outside: row(
    409,
    false,
    'owner',
    'Objects outside the target depend on it',
    'Remove the named foreign keys or slots, or restore under another name.',
  ),
  insufficient_space: row(
    422,
    false,
    'operator',
    'There is not enough space for the restore',
    'Free the named amount, or restore elsewhere.',
  ),
  load_failed: row(
    422,
    true,
    'owner',
    'Loading the backup into the staging database failed',
    'Read the tool message; the target was not touched.',
  ),
  restore_mismatch: row(
    422,
    false,
    'owner',
    'The restored content differs from the backup',
    'See the named differences; the message says what became of the target.',
  ),
  roles_missing: row(
    422,
    false,
    'owner',
    'The target server lacks roles that the backup names',
    'Run the CREATE ROLE statements given in the message there, then restore again.',
  ),
  extensions_missing: row(
    422,
    false,
    'owner',
    'The target server lacks extensions that the backup needs',
    'Install the named extensions on the host of the target server, then restore again.',
  ),
  swap_failed: row(
    422,
    true,
    'owner',
    'Putting the restored database in place failed',
    'The previous content was put back; see the message.',
  ),
  previous_gone: row(409, false, 'caller', 'The previous content is no longer kept', 'Restore from a backup instead.'),
  cancelled: row(409, false, 'caller', 'The run was cancelled', 'Start a new run.'),
} as const satisfies Record<string, ErrorRow>;
