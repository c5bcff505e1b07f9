import type { ByteBudget } from './byte-budget.js';
import { processBudget } from './byte-budget.js';
import type { Destination, DestinationConfig } from './destination.js';
import { DirectoryDestination } from './directory-destination.js';
import type { DirectoryRoots } from './directory-paths.js';
import { S3Destination } from './s3-destination.js';
import { DEFAULT_PATIENCE_MS } from './s3-retry.js';

export type OpenDestinationOptions = {
  /** Roots under which a directory destination may lie; none when left out, so that a forgotten option refuses instead of allowing. */
  readonly directoryRoots?: DirectoryRoots;
  /** Memory for uploads; the process's own when left out. */
  readonly budget?: ByteBudget;
  /** How long an S3 store may be away in the middle of a transfer before it fails. Other calls fail at once. */
  readonly patienceMs?: number;
};

/**
 * Opens a destination. Nothing is contacted yet: what is wrong with it is an error of the first call. Throws `path_not_allowed` for a
 * prefix with path tricks. Close it when done.
 */
export function openDestination(config: DestinationConfig, options: OpenDestinationOptions = {}): Destination {
  if (config.type === 's3')
    return new S3Destination(config, options.budget ?? processBudget, options.patienceMs ?? DEFAULT_PATIENCE_MS);
  return new DirectoryDestination(config, options.directoryRoots ?? []);
}
