import { describe, expect, it } from 'vitest';
import { catchupWindowOf, nextRunsOf, temporalCronLines } from '../../src/usecases/schedules/schedule-times.js';

const now = new Date('2026-11-21T06:30:30Z');
const cron = (expression: string, timezone = 'UTC') => ({ type: 'cron', expression, timezone }) as const;
const texts = (times: Date[]) => times.map((time) => time.toISOString());

describe('next runs', () => {
  it('of an interval are counted from the epoch, as Temporal counts them', () => {
    expect(texts(nextRunsOf({ type: 'interval', everySeconds: 3600 }, now, 2))).toEqual([
      '2026-11-21T07:00:00.000Z',
      '2026-11-21T08:00:00.000Z',
    ]);
  });

  it('of a cron line follow its time zone', () => {
    expect(texts(nextRunsOf(cron('30 2 * * *', 'America/New_York'), now, 1))).toEqual(['2026-11-21T07:30:00.000Z']);
  });

  it('of a line that restricts both days come on either of them', () => {
    expect(texts(nextRunsOf(cron('0 4 13 * 5'), now, 4))).toEqual([
      '2026-11-27T04:00:00.000Z',
      '2026-12-04T04:00:00.000Z',
      '2026-12-11T04:00:00.000Z',
      '2026-12-13T04:00:00.000Z',
    ]);
    expect(temporalCronLines('0 4 13 * 5')).toEqual(['0 4 13 * *', '0 4 * * 5']);
    expect(temporalCronLines('0 4 * * 5')).toEqual(['0 4 * * 5']);
    expect(temporalCronLines('0 4 */2 * 5')).toEqual(['0 4 */2 * *', '0 4 * * 5']);
  });
});

describe('the catch-up window', () => {
  it('makes up one missed run and not one per missed time', () => {
    expect(catchupWindowOf({ type: 'interval', everySeconds: 60 }, now)).toBe(60_000);
    expect(catchupWindowOf({ type: 'interval', everySeconds: 7200 }, now)).toBe(7_200_000);
    expect(catchupWindowOf(cron('0 2 * * *'), now)).toBe(86_400_000);
    expect(catchupWindowOf(cron('0 2 1 * *'), now)).toBe(86_400_000);
    expect(catchupWindowOf(cron('0,10 2 * * *'), now)).toBe(600_000);
  });
});
