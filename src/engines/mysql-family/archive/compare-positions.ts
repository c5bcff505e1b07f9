import { compareLogPositions } from '../../../domain/compare-positions.js';
import type { LogPosition } from '../../../domain/positions.js';
import { parseMariadbGtid } from '../binlog/gtid-position.js';
import { GtidSet } from '../binlog/gtid-set.js';
import type { Brand } from '../brand.js';

function compareSets(a: string, b: string): number {
  const [one, other] = [GtidSet.parse(a), GtidSet.parse(b)];
  const [holds, isHeld] = [one.includes(other), other.includes(one)];
  if (holds && isHeld) return 0;
  return holds ? 1 : -1;
}

function compareMariadb(a: string, b: string): number {
  const numbers = new Map(b.split(',').flatMap((text) => (text.trim() === '' ? [] : [entry(text)])));
  let sign = 0;
  for (const text of a.split(',')) {
    if (text.trim() === '') continue;
    const [domain, number] = entry(text);
    const other = numbers.get(domain) ?? -1n;
    numbers.delete(domain);
    // Before in any domain is before: then something is missing.
    if (number < other) return -1;
    if (number > other) sign = 1;
  }
  return numbers.size > 0 ? -1 : sign;
}

function entry(text: string): [string, bigint] {
  const { domain, number } = parseMariadbGtid(text);
  return [domain, number];
}

/** Negative when `a` lacks a transaction that `b` has. */
export const compareGtids = (kind: Brand['kind'], a: LogPosition, b: LogPosition): number =>
  (kind === 'mysql' ? compareSets : compareMariadb)(a.gtidSet ?? '', b.gtidSet ?? '');

/**
 * See ChainEngine.comparePositions. By file and offset, which order everything that one server writes: a transaction whose record stands in
 * the log is not yet among the executed GTIDs. By GTIDs where a role could not see file and offset.
 */
export function comparePositions(kind: Brand['kind'], a: LogPosition, b: LogPosition): number {
  if (a.file !== undefined && b.file !== undefined) return compareLogPositions(a, b);
  return compareGtids(kind, a, b);
}

/**
 * Whether a server whose log was stored up to `stored` before it told `end` has begun its log anew since. Its files never go back by
 * themselves; MariaDB only tells the place of its last commit, which lies in an earlier file for as long as nothing is committed into a new
 * one, so that its GTIDs have to have gone back as well.
 */
export function wentBack(kind: Brand['kind'], end: LogPosition, stored: LogPosition): boolean {
  const filesBack = end.file !== undefined && stored.file !== undefined && compareLogPositions(end, stored) < 0;
  if (kind === 'mysql' && filesBack) return true;
  // Without a place there are only the GTIDs: a transaction that is stored may not be listed as executed yet, for a moment.
  return (filesBack || end.file === undefined) && compareGtids(kind, end, stored) < 0;
}
