import type { ErrorRow } from './row.js';
import { row } from './row.js';

/** What is in the way of policies, chains, log archives and recovery. */
export const policyErrors = {
  already_attached: row(
    409,
    false,
    'caller',
    'Database is already attached to another backup policy',
    'Detach it from the named policy first.',
  ),
  policy_not_active: row(
    409,
    false,
    'caller',
    'The policy is not active',
    'Resume it, or read its last error and check it again.',
  ),
  physical_forbidden: row(
    422,
    false,
    'owner',
    'The server does not allow what a policy needs',
    'Run the named statements, or protect the database by a plan with dumps.',
  ),
  acceptance_required: row(
    422,
    false,
    'owner',
    'Something would be left out of recovery',
    'Change what is named, or accept each by its name.',
  ),
  incremental_impossible: row(
    409,
    false,
    'owner',
    'No incremental is possible on this parent',
    'Nothing to do: a full is taken instead.',
  ),
  log_gap: row(
    500,
    false,
    'owner',
    'The log archive has a gap',
    'Nothing to do: a full is taken at once. Find out why the server dropped its log, and let it keep more.',
  ),
  log_not_kept: row(
    422,
    false,
    'owner',
    'The server does not keep its log for Tidemark',
    'Run the named statement and retry the PITR configuration.',
  ),
  spool_full: row(
    500,
    true,
    'operator',
    'The spool for logs is full',
    'Free space, or raise the limit; archiving goes on by itself.',
  ),
  outside_window: row(
    422,
    false,
    'caller',
    'The point lies outside the recovery window',
    'Choose a point inside the named window.',
  ),
  position_ambiguous: row(
    422,
    false,
    'caller',
    'The position lies on several timelines',
    'Give a time instead: each of the named timelines covers its own.',
  ),
  recovery_incomplete: row(
    500,
    false,
    'owner',
    'Recovery ended before the wanted point',
    'Choose an earlier point, and check the archive for gaps.',
  ),
  sandbox_failed: row(
    500,
    true,
    'operator',
    'The sandbox did not start or stopped',
    'Read the message; the sandbox needs the same major version, locales and extensions as the server.',
  ),
  sandbox_space: row(
    507,
    false,
    'operator',
    'There is not enough space for a sandbox',
    'Free the named amount on the worker, or restore on a worker with more.',
  ),
} as const satisfies Record<string, ErrorRow>;
