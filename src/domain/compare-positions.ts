import type { LogPosition } from './positions.js';
import { takeoverOf } from './takeover-files.js';

/**
 * Orders two positions of one stored log within one epoch, whatever the engine: by timeline and LSN where there are LSNs, else by log
 * file and offset, files of a server that took over after those of its predecessor. An epoch follows one history, in which a later timeline only has what comes after the earlier one: what an old primary
 * wrote behind the switch has higher LSNs than the new timeline's beginning and still must not pass for it. Negative when `a` is before `b`.
 * What a position does not tell counts as the beginning.
 */
export function compareLogPositions(a: LogPosition, b: LogPosition): number {
  if (a.lsn !== undefined || b.lsn !== undefined) {
    if (a.timeline !== undefined && b.timeline !== undefined && a.timeline !== b.timeline) {
      return a.timeline - b.timeline;
    }
    return sign(lsnNumber(a.lsn) - lsnNumber(b.lsn));
  }
  const takeover = takeoverOf(a.file) - takeoverOf(b.file);
  if (takeover !== 0) return takeover;
  const file = logFileNumber(a.file) - logFileNumber(b.file);
  return file === 0 ? sign(BigInt(a.filePosition ?? '0') - BigInt(b.filePosition ?? '0')) : file;
}

const sign = (difference: bigint) => (difference < 0n ? -1 : difference > 0n ? 1 : 0);

function lsnNumber(lsn = '0/0'): bigint {
  const [high = '0', low = '0'] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** `binlog.000042` -> 42: the number counts, and names grow beyond six digits, so that their text does not order them. */
export const logFileNumber = (file = '') => Number(/\.(\d+)$/.exec(file)?.[1] ?? '0');
