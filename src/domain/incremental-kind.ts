import type { ServerIdentity } from './positions.js';

/** The first major of PostgreSQL that tells which blocks have changed. */
export const POSTGRES_INCREMENTAL_FROM = 17;

/**
 * What incrementals of a server are: `physical`, the blocks changed since the parent; `log`, the archived log since then, which takes a policy
 * with PITR.
 */
export function incrementalKindOf({ engine, major }: Pick<ServerIdentity, 'engine' | 'major'>): 'physical' | 'log' {
  return engine === 'postgresql' && Number(major) >= POSTGRES_INCREMENTAL_FROM ? 'physical' : 'log';
}
