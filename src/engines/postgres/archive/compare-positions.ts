import type { LogPosition } from '../../../domain/positions.js';
import { parseLsn } from './wal-names.js';

/**
 * Orders two positions of one epoch: by timeline, then by LSN. An epoch follows one history, in which a later timeline only has what comes
 * after the earlier one; what an old primary wrote behind the switch has higher LSNs than the new timeline's beginning and still must not
 * pass for it. A position without a timeline is compared by LSN alone.
 */
export function comparePositions(a: LogPosition, b: LogPosition): number {
  if (a.timeline !== undefined && b.timeline !== undefined && a.timeline !== b.timeline) return a.timeline - b.timeline;
  const left = parseLsn(a.lsn ?? '0/0');
  const right = parseLsn(b.lsn ?? '0/0');
  return left < right ? -1 : left > right ? 1 : 0;
}
