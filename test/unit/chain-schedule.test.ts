import { describe, expect, it } from 'vitest';
import type { ChainSchedule, IncrementalStep } from '../../src/domain/chain-schedule.js';
import { catchupOf, cronLinesOf } from '../../src/domain/chain-schedule.js';
import { nextChainRuns } from '../../src/usecases/schedules/chain-schedules.js';
import { toStoredSchedule } from '../../src/usecases/shared/policy-schedule.js';

const daily = (time: string, incremental: IncrementalStep = 'none'): ChainSchedule => ({
  full: { frequency: 'daily', time },
  incremental,
});
const weekly = (time: string, day: number, incremental: IncrementalStep = 'none'): ChainSchedule => ({
  full: { frequency: 'weekly', time, day },
  incremental,
});

// A Saturday.
const now = new Date('2026-11-21T10:00:00Z');
const runs = (schedule: ChainSchedule, kind: 'full' | 'incremental' | 'retention', count = 5) =>
  nextChainRuns(schedule, kind, now, count).map((run) => run.toISOString().slice(5, 16));

describe('the schedules of a chain', () => {
  it('take a daily full at its time, in UTC', () => {
    expect(runs(daily('02:30'), 'full', 2)).toEqual(['11-22T02:30', '11-23T02:30']);
  });

  it('take a weekly full on its day only', () => {
    expect(runs(weekly('23:05', 6), 'full', 2)).toEqual(['11-21T23:05', '11-28T23:05']);
    expect(runs(weekly('00:00', 0), 'full', 2)).toEqual(['11-22T00:00', '11-29T00:00']);
  });

  it('take incrementals at even distances from the full and none at its own time', () => {
    expect(runs(daily('02:30', '6h'), 'incremental')).toEqual([
      '11-21T14:30',
      '11-21T20:30',
      '11-22T08:30',
      '11-22T14:30',
      '11-22T20:30',
    ]);
    expect(runs(daily('18:00', '12h'), 'incremental', 2)).toEqual(['11-22T06:00', '11-23T06:00']);
  });

  it('take incrementals on the other days of a weekly full also at its hour', () => {
    const schedule = weekly('20:00', 0, '12h');
    expect(runs(schedule, 'incremental', 4)).toEqual(['11-21T20:00', '11-22T08:00', '11-23T08:00', '11-23T20:00']);
    expect(runs(schedule, 'full', 1)).toEqual(['11-22T20:00']);
  });

  it('take an incremental or a full at every step of the day, whatever the step', () => {
    for (const step of ['1h', '2h', '4h', '6h', '12h'] as const) {
      for (const schedule of [daily('13:07', step), weekly('13:07', 3, step)]) {
        const perWeek = (7 * 24) / Number.parseInt(step, 10);
        const week = new Date(now.getTime() + 7 * 86_400_000);
        const due = (['full', 'incremental'] as const).flatMap((kind) =>
          nextChainRuns(schedule, kind, now, 200).filter((run) => run < week),
        );
        expect(due.length, step).toBe(perWeek);
        expect(new Set(due.map(Number)).size, step).toBe(perWeek);
      }
    }
  });

  it('have no incrementals where none are wanted', () => {
    expect(cronLinesOf(daily('02:30'), 'incremental')).toEqual([]);
  });

  it('clean up half an hour after the full, also over midnight', () => {
    expect(cronLinesOf(daily('02:10'), 'retention')).toEqual(['40 2 * * *']);
    expect(cronLinesOf(daily('23:45'), 'retention')).toEqual(['15 0 * * *']);
  });

  it('make up for what was missed until the next one is due, a weekly full for a week', () => {
    const hours = (schedule: ChainSchedule, kind: 'full' | 'incremental' | 'retention') =>
      catchupOf(schedule, kind) / 3_600_000;
    expect(hours(daily('02:30', '4h'), 'full')).toBe(24);
    expect(hours(weekly('02:30', 0, '4h'), 'full')).toBe(168);
    expect(hours(weekly('02:30', 0, '4h'), 'incremental')).toBe(4);
    expect(hours(weekly('02:30', 0), 'retention')).toBe(24);
  });

  it('know a day by its name and by its number', () => {
    const named = toStoredSchedule({
      full: { frequency: 'weekly', time: '01:00', day: 'wednesday' },
      incremental: 'none',
    });
    expect(named).toEqual(weekly('01:00', 3));
    const numbered = toStoredSchedule({ full: { frequency: 'weekly', time: '01:00', day: 0 }, incremental: '1h' });
    expect(numbered).toEqual(weekly('01:00', 0, '1h'));
  });
});
