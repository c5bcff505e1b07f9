/** When the fulls and incrementals of a policy run. Everything is UTC (design section 7). */

export const weekdays = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;
export type Weekday = (typeof weekdays)[number];

export const incrementalSteps = ['none', '1h', '2h', '4h', '6h', '12h'] as const;
export type IncrementalStep = (typeof incrementalSteps)[number];

export type ChainSchedule = {
  readonly full:
    | { readonly frequency: 'daily'; readonly time: string }
    /** `day`: 0 is Sunday. */
    | { readonly frequency: 'weekly'; readonly time: string; readonly day: number };
  readonly incremental: IncrementalStep;
};

export const chainScheduleKinds = ['full', 'incremental', 'retention'] as const;
export type ChainScheduleKind = (typeof chainScheduleKinds)[number];

const allDays = [0, 1, 2, 3, 4, 5, 6] as const;

/**
 * The cron lines (UTC) of one of a chain's schedules; none when it has no such runs. Incrementals stand on a grid that begins at the time
 * of the full, and leave out the full's own slot: at one moment only one of the two is due, so none is skipped by rule every day.
 */
export function cronLinesOf(schedule: ChainSchedule, kind: ChainScheduleKind): string[] {
  const { full, incremental } = schedule;
  const [hour, minute] = readTime(full.time);
  switch (kind) {
    case 'full':
      return [`${minute} ${hour} * * ${full.frequency === 'weekly' ? full.day : '*'}`];
    case 'retention':
      // Half an hour after the time of the full: what it made superfluous goes the same day.
      return [minute < 30 ? `${minute + 30} ${hour} * * *` : `${minute - 30} ${(hour + 1) % 24} * * *`];
    case 'incremental': {
      if (incremental === 'none') return [];
      const step = Number.parseInt(incremental, 10);
      const grid = Array.from({ length: 24 / step }, (_, index) => (hour + index * step) % 24).sort((a, b) => a - b);
      const others = grid.filter((one) => one !== hour).join(',');
      if (full.frequency === 'daily') return [`${minute} ${others} * * *`];
      const otherDays = allDays.filter((day) => day !== full.day).join(',');
      return [`${minute} ${grid.join(',')} * * ${otherDays}`, `${minute} ${others} * * ${full.day}`];
    }
  }
}

/** For how long a missed run is made up (milliseconds): as long as until the next one, so that an outage is followed by one run. */
export function catchupOf({ full, incremental }: ChainSchedule, kind: ChainScheduleKind): number {
  const betweenFulls = full.frequency === 'weekly' ? 7 * 24 : 24;
  const hours = { full: betweenFulls, incremental: Number.parseInt(incremental, 10) || 24, retention: 24 };
  return hours[kind] * 3_600_000;
}

function readTime(time: string): [number, number] {
  const [hour = '0', minute = '0'] = time.split(':');
  return [Number(hour), Number(minute)];
}
