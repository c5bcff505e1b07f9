import type { Fingerprint, FingerprintDifference } from '../domain/fingerprint.js';
import { compareFingerprints, countContent } from '../domain/fingerprint.js';

/** How many differences are kept and shown, and how much of each text: definitions can be pages long. */
const MAX_DIFFERENCES = 50;
const MAX_TEXT = 400;

export type Comparison = {
  readonly equal: boolean;
  /** `source`: equal to a fingerprint read from the source at the backup's exact position. `continuity`: there was none to compare with. */
  readonly proof: 'source' | 'continuity';
  readonly tables: number | null;
  readonly rows: string | null;
  /** The first differences, texts cut. */
  readonly differences: readonly FingerprintDifference[];
  /** How many there are in all. */
  readonly total: number;
};

/** What the restored content proves. Without a fingerprint of the source nothing about content is claimed, only that all was read and loaded. */
export function compareRestored(expected: Fingerprint | null, found: Fingerprint | null): Comparison {
  const content = found === null ? null : countContent(found);
  const counts = { tables: content?.tables ?? null, rows: content?.rows ?? null };
  if (expected === null || found === null) {
    return { equal: true, proof: 'continuity', ...counts, differences: [], total: 0 };
  }
  const all = compareFingerprints(expected, found);
  return {
    equal: all.length === 0,
    proof: 'source',
    ...counts,
    differences: all.slice(0, MAX_DIFFERENCES).map(cut),
    total: all.length,
  };
}

/** `table public.city, object view public.capital and 3 more`. */
export function nameDifferences(comparison: Comparison): string {
  const names = comparison.differences.slice(0, 5).map((difference) => `${difference.area} ${difference.name}`);
  const more = comparison.total - names.length;
  return more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
}

function cut(difference: FingerprintDifference): FingerprintDifference {
  const short = (text: string | null) =>
    text !== null && text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
  return { ...difference, expected: short(difference.expected), found: short(difference.found) };
}
