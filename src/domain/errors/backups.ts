import type { ErrorRow } from './row.js';
import { row } from './row.js';

/** What ends the taking of a backup. */
export const backupErrors = {
  dump_failed: row(
    422,
    true,
    'owner',
    'The dump tool failed',
    'Read the tool message in the error and correct its cause.',
  ),
  dump_incomplete: row(
    422,
    true,
    'owner',
    'The dump ended without its end marker',
    'The attempt was thrown away; run the backup again.',
  ),
  fenced: row(
    409,
    false,
    'operator',
    'A newer attempt has taken over',
    'Nothing to do: the newer attempt decides the result.',
  ),
  worker_lost: row(422, true, 'operator', 'The worker died while it worked', 'The step is retried by another worker.'),
  workflow_lost: row(
    422,
    false,
    'operator',
    'The workflow of this run is gone or closed without a result',
    'Start the run again.',
  ),
} as const satisfies Record<string, ErrorRow>;
