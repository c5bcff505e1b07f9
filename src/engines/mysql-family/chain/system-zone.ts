import { existsSync } from 'node:fs';
import { TidemarkError } from '../../../domain/errors.js';
import type { Session } from '../session.js';

/** In a full's facts: the zone of the source's host, to which `SYSTEM` in its log refers. */
export const SYSTEM_ZONE = 'system_zone';

const ZONE_FILES = '/usr/share/zoneinfo';
const FIRST_YEAR = 1972;
const LAST_YEAR = 2037;
/** Month and day: both halves of the year, and the weeks around the usual changes. */
const DAYS = [
  [0, 15],
  [3, 2],
  [6, 15],
  [9, 28],
] as const;

/** Moments at which zones are told apart, in seconds since 1970. */
export const probes: readonly number[] = Array.from({ length: LAST_YEAR - FIRST_YEAR }, (_, index) =>
  DAYS.map(([month, day]) => Date.UTC(FIRST_YEAR + index, month, day, 12) / 1_000),
).flat();

/** Seconds that a zone is ahead of UTC. */
function offsetsOf(zone: string): (moment: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric' },
    ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' },
  });
  return (moment) => {
    const parts = new Map(format.formatToParts(moment * 1_000).map(({ type, value }) => [type, Number(value)]));
    const part = (name: Intl.DateTimeFormatPartTypes) => parts.get(name) ?? 0;
    const there = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
    return there / 1_000 - moment;
  };
}

/** The zone that is ahead of UTC by this much at each of `probes`; null when there is none. */
export function findZone(offsets: readonly number[]): string | null {
  if (offsets.every((offset) => offset === 0)) return 'UTC';
  const fits = (zone: string) => {
    const at = offsetsOf(zone);
    // The newest first: there zones differ most, and those of no use are soon out.
    return probes.every((_, index) => at(probes.at(-1 - index) ?? 0) === offsets.at(-1 - index));
  };
  return Intl.supportedValuesOf('timeZone').find(fits) ?? null;
}

/**
 * Which zone the source's host has. Servers tell an abbreviation at most, which many zones share, but what it does to times. Null when no
 * known zone does the same.
 */
export async function readSystemZone(session: Session): Promise<string | null> {
  const list = probes
    .map((moment) => `TIMESTAMPDIFF(SECOND, '1970-01-01 00:00:00', FROM_UNIXTIME(${moment})) - ${moment}`)
    .join(", ',', ");
  await session.rows("SET SESSION time_zone = 'SYSTEM'");
  try {
    const text = (await session.value(`SELECT CONCAT(${list})`)) ?? '';
    return findZone(text.split(',').map(Number));
  } finally {
    await session.rows("SET SESSION time_zone = '+00:00'");
  }
}

/**
 * The zone in which a sandbox runs: statements of sessions without a zone of their own mean the source's. Throws `sandbox_failed` where this
 * host does not have it: the server would take UTC without a word.
 */
export function sandboxZone(cluster: Readonly<Record<string, string>>): string {
  const zone = cluster[SYSTEM_ZONE] ?? 'UTC';
  if (zone === 'UTC' || (/^[A-Za-z0-9_+/-]+$/.test(zone) && existsSync(`${ZONE_FILES}/${zone}`))) return zone;
  throw new TidemarkError(
    'sandbox_failed',
    `The source's host is in the time zone ${zone}, to which its log refers, and this host does not have it. Install the time zone data (tzdata), then retry.`,
    { object: zone },
  );
}
