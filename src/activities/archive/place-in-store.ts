import { findLastSlice } from '../../catalog/runs/slices.js';
import type { LogPosition, ServerIdentity } from '../../domain/positions.js';
import { isSameServer } from '../../domain/same-server.js';
import { asOfTakeover, takeoverOf } from '../../domain/takeover-files.js';
import { readRecords } from '../../recovery/resume-log.js';
import { isDamage } from '../../storage/is-damage.js';
import type { ChainWork } from '../chain/chain-work.js';
import { keyOpener } from '../open-run.js';

/**
 * How many servers the stored log has left behind when it is followed on this one: its newest slice says whose it is. A server whose log is not stored
 * yet is the next. 0 without a log, and where files are named after one history (PostgreSQL).
 */
export async function takeoverOfServer(work: ChainWork, server: ServerIdentity): Promise<number> {
  const { deps, step, chain, epoch, destination } = work;
  if (epoch === null || server.engine === 'postgresql') return 0;
  const row = await findLastSlice(deps.catalog.prisma, chain.id, epoch);
  if (row === null) return 0;
  const place = { destination, serverId: chain.serverId, policyId: chain.policyId, epoch };
  const newest = takeoverOf(row.file);
  try {
    const [slice] = await readRecords({ place, openKey: keyOpener(deps), signal: step.signal }, [row]);
    return slice === undefined || isSameServer(slice.record.source.identity, server.identity) ? newest : newest + 1;
  } catch (error) {
    // The follower mends or leaves it; a full must not fail for it.
    if (isDamage(error)) return newest;
    throw error;
  }
}

/** A place that a server tells, as the stored log calls it. */
export const placeInStore = (position: LogPosition, takeover: number): LogPosition =>
  position.file === undefined ? position : { ...position, file: asOfTakeover(takeover, position.file) };
