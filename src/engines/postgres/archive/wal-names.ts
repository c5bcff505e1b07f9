/** Names and numbers of PostgreSQL's log: LSNs, segment files, timeline histories. Pure. */

/** `16/B374D848` as a number. */
export function parseLsn(text: string): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (!match) throw new Error(`not an LSN: ${JSON.stringify(text)}`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/** A segment by timeline and number; segment n holds the bytes from n × size. */
export type Segment = { readonly timeline: number; readonly number: bigint };

const hex8 = (value: bigint | number) => value.toString(16).toUpperCase().padStart(8, '0');

/** Segments are counted within 4 GiB in the last eight digits, so a name depends on the cluster's segment size. */
export function segmentName(segment: Segment, segmentBytes: number): string {
  const perId = 0x1_0000_0000n / BigInt(segmentBytes);
  return hex8(segment.timeline) + hex8(segment.number / perId) + hex8(segment.number % perId);
}

/** Null for every other name, `….partial` included. */
export function parseSegmentName(name: string, segmentBytes: number): Segment | null {
  const match = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/.exec(name);
  if (!match) return null;
  const perId = 0x1_0000_0000n / BigInt(segmentBytes);
  return { timeline: Number(`0x${match[1]}`), number: BigInt(`0x${match[2]}`) * perId + BigInt(`0x${match[3]}`) };
}

export const segmentOf = (timeline: number, lsn: bigint, segmentBytes: number): Segment => ({
  timeline,
  number: lsn / BigInt(segmentBytes),
});

export const segmentStart = (segment: Segment, segmentBytes: number): bigint => segment.number * BigInt(segmentBytes);

export const historyName = (timeline: number): string => `${hex8(timeline)}.history`;

export function parseHistoryName(name: string): number | null {
  const match = /^([0-9A-F]{8})\.history$/.exec(name);
  return match ? Number(`0x${match[1]}`) : null;
}

/**
 * Where the cluster left `timeline` on the way to the one this history file belongs to; null when it was never on it. A line of the file
 * is `<timeline> <LSN> <reason>`.
 */
export function findSwitchPoint(history: string, timeline: number): bigint | null {
  for (const line of history.split('\n')) {
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line);
    if (match?.[2] && Number(match[1]) === timeline) return parseLsn(match[2]);
  }
  return null;
}
