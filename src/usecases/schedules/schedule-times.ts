import { Cron } from 'croner';
import { TidemarkError } from '../../domain/errors.js';
import type { Schedule } from '../../domain/schemas/plans.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** What Temporal and croner read alike: numbers, names of days and months, lists, ranges, steps. No `L`, `W`, `#`, `?`, seconds or `@daily`. */
const cronField = /^(\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(\/[0-9]+)?(,(\*|[0-9A-Za-z]+(-[0-9A-Za-z]+)?)(\/[0-9]+)?)*$/;
const cronWord = /^([0-9]{1,2}|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)$/i;

function refuse(field: string, message: string): TidemarkError {
  return new TidemarkError('invalid_request', `The schedule is not valid: ${field} ${message}.`, {
    fields: [{ field: `/schedule/${field}`, message }],
  });
}

function openCron(schedule: Extract<Schedule, { type: 'cron' }>): Cron {
  const { expression, timezone } = schedule;
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
  } catch {
    throw refuse('timezone', `must be an IANA time zone such as Europe/Berlin; ${timezone} is not one`);
  }
  const fields = expression.split(/\s+/);
  const takes = 'must have five fields: minute, hour, day of month, month, day of week';
  if (fields.length !== 5) throw refuse('expression', takes);
  for (const field of fields) {
    const words = field.replace(/\/[0-9]+/g, '').split(/[,-]/);
    if (!cronField.test(field) || !words.every((word) => word === '*' || cronWord.test(word))) {
      throw refuse('expression', `${takes}, each of numbers, names, *, lists, ranges and steps; "${field}" is not`);
    }
  }
  try {
    return new Cron(fields.join(' '), { timezone, mode: '5-part', paused: true });
  } catch (error) {
    throw refuse('expression', `${takes} (${error instanceof Error ? error.message : 'not understood'})`);
  }
}

/** The next runs after `from`, at most `count`; empty for a manual plan. Throws `invalid_request` naming the field. */
export function nextRunsOf(schedule: Schedule, from: Date, count = 5): Date[] {
  switch (schedule.type) {
    case 'manual':
    case 'realtime':
      return [];
    case 'interval': {
      // Temporal counts intervals from the epoch, whenever the schedule was made.
      const every = schedule.everySeconds * 1000;
      const first = (Math.floor(from.getTime() / every) + 1) * every;
      return Array.from({ length: count }, (_, index) => new Date(first + index * every));
    }
    case 'cron':
      return openCron(schedule).nextRuns(count, from);
  }
}

/** Refuses what cannot run: `not_supported` for realtime, `invalid_request` for an expression or zone that is wrong or never comes. */
export function assertSchedule(schedule: Schedule, now: Date): void {
  if (schedule.type === 'realtime') {
    throw new TidemarkError(
      'not_supported',
      'This build does not take real-time plans yet. Use a manual, interval or cron schedule.',
      { fields: [{ field: '/schedule/type', message: 'must be manual, interval or cron' }] },
    );
  }
  if (schedule.type === 'cron' && nextRunsOf(schedule, now, 1).length === 0) {
    throw refuse('expression', 'never comes; name a day that exists');
  }
}

/**
 * For how long a missed run is made up (milliseconds): the shortest distance between runs, so that after an outage one run is made up
 * and not one per missed time; at least a minute, at most a day.
 */
export function catchupWindowOf(schedule: Schedule, now: Date): number {
  const runs = nextRunsOf(schedule, now, 5).map((run) => run.getTime());
  const gaps = runs.slice(1).map((time, index) => time - (runs[index] ?? time));
  return Math.max(60_000, Math.min(DAY_MS, ...(gaps.length > 0 ? gaps : [HOUR_MS])));
}

/**
 * The cron lines to give to Temporal. Classic cron runs when the day of the month OR the day of the week fits as soon as both are
 * restricted; Temporal wants both to fit, so such a line becomes two.
 */
export function temporalCronLines(expression: string): string[] {
  const [minute, hour, day, month, weekday] = expression.trim().split(/\s+/);
  if (day === '*' || weekday === '*') return [[minute, hour, day, month, weekday].join(' ')];
  return [`${minute} ${hour} ${day} ${month} *`, `${minute} ${hour} * ${month} ${weekday}`];
}
