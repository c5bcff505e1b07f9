import type { CheckFinding } from '../engine.js';

/** Said of a server before it is attached, and when its log begins to be held. */
export const SLOT_LIMIT_UNSET: CheckFinding = {
  severity: 'warns',
  code: 'slot_limit_unset',
  message:
    'max_slot_wal_keep_size is unlimited: while the log cannot be archived, the server keeps it and may fill its disk. Set a limit that the disk can spare.',
  statement: "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_catalog.pg_reload_conf();",
};
