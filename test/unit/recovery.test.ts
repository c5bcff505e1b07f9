import { describe, expect, test } from 'vitest';
import { ProgressMeter } from '../../src/activities/progress.js';
import { selectExpired } from '../../src/catalog/runs/retention.js';
import type { TargetInspection } from '../../src/engines/engine.js';
import { assertNotOriginal, assertSpace, decideWay } from '../../src/recovery/decide-way.js';
import { asideNameOf, previousNameOf } from '../../src/recovery/names.js';

const now = new Date('2026-06-30T12:00:00Z');
const daysAgo = (days: number) => new Date(now.getTime() - days * 86_400_000);
const backups = [0, 1, 2, 3, 40].map((days) => ({ id: `day${days}`, takenAt: daysAgo(days) }));

describe('retention', () => {
  test('keeps the newest by count', () => {
    expect(selectExpired(backups, { count: 2 }, now)).toEqual(['day2', 'day3', 'day40']);
  });

  test('drops what is older than the days', () => {
    expect(selectExpired(backups, { days: 30 }, now)).toEqual(['day40']);
  });

  test('applies both limits when both are set', () => {
    expect(selectExpired(backups, { count: 4, days: 2 }, now)).toEqual(['day3', 'day40']);
  });

  test('never takes the last restorable backup, however old it is', () => {
    expect(selectExpired([{ id: 'only', takenAt: daysAgo(400) }], { count: 1, days: 1 }, now)).toEqual([]);
  });
});

describe('names of kept contents', () => {
  const restoreId = 'rst_0123456789abcdef';

  test('carry target and restore', () => {
    expect(previousNameOf('postgresql', 'shop', restoreId)).toBe(`shop__before_${restoreId}`);
    expect(asideNameOf('mysql', 'shop', restoreId)).toBe(`shop__reverted_${restoreId}`);
  });

  test('fit the engine by shortening the target at a whole character, never the suffix', () => {
    const umlauts = 'ü'.repeat(40);
    const name = previousNameOf('postgresql', umlauts, restoreId);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
    expect(name).toMatch(new RegExp(`^ü+__before_${restoreId}$`));
    expect(previousNameOf('mariadb', umlauts, restoreId)).toHaveLength(64);
    expect(previousNameOf('postgresql', '😀'.repeat(20), restoreId)).not.toContain('\ufffd');
  });
});

describe('the original database', () => {
  const target = { name: 'shop', identity: 'pg:1', mayReplaceOriginal: false };
  const full = { exists: true, empty: false };
  const original = { identity: 'pg:1', database: 'shop' };

  test('is known by what its server says of itself, and not replaced unless that was confirmed', () => {
    expect(() => assertNotOriginal(target, full, [original])).toThrow(/shop is the original/);
    expect(() => assertNotOriginal({ ...target, mayReplaceOriginal: true }, full, [original])).not.toThrow();
  });

  test('is neither another name on that server, nor the name on another server, nor an empty place', () => {
    expect(() => assertNotOriginal({ ...target, name: 'copy' }, full, [original])).not.toThrow();
    expect(() => assertNotOriginal({ ...target, identity: 'pg:2' }, full, [original])).not.toThrow();
    expect(() => assertNotOriginal(target, { exists: true, empty: true }, [original])).not.toThrow();
  });
});

describe('the way of a restore', () => {
  const found: TargetInspection = {
    exists: true,
    empty: false,
    objects: ['public.city'],
    sizeBytes: 1,
    canCreateDatabase: true,
    outsideTies: [],
    freeBytes: null,
  };
  const decide = (overwrite: boolean, change: Partial<TargetInspection>) =>
    decideWay({ name: 'shop', overwrite }, { ...found, ...change });

  test('content in the way refuses a restore without overwrite, naming it', () => {
    expect(() => decide(false, {})).toThrow(/public\.city/);
  });

  test('is staged where databases may be created, also over content that may be overwritten', () => {
    expect(decide(true, {})).toBe('staged');
    expect(decide(false, { exists: false, empty: true })).toBe('staged');
  });

  test('is direct into an empty database for a role that may not create one, and refused otherwise', () => {
    expect(decide(false, { empty: true, canCreateDatabase: false })).toBe('direct');
    expect(() => decide(true, { canCreateDatabase: false })).toThrow(/may not create databases/);
    expect(() => decide(false, { exists: false, empty: true, canCreateDatabase: false })).toThrow(/may not create/);
  });

  test('is refused when something outside is tied to the target', () => {
    expect(() => decide(true, { outsideTies: ['slot replica_1'] })).toThrow(/replica_1/);
  });

  test('is refused with both numbers when the room does not suffice, and believed where the server does not tell', () => {
    expect(() => assertSpace('shop', 3 * 1_048_576, 1_048_576)).toThrow(/3 MiB.*1 MiB/);
    expect(() => assertSpace('shop', 3, null)).not.toThrow();
  });
});

describe('progress', () => {
  const meterFrom = (floor: number | null, range?: readonly [number, number]) => {
    const shown: { bytes: number; percent: number | null }[] = [];
    const meter = new ProgressMeter({
      floor,
      ...(range === undefined ? {} : { range }),
      write: async () => {},
      report: (progress) => shown.push(progress),
    });
    return { meter, shown };
  };

  test('has no percent without a denominator', () => {
    const { meter, shown } = meterFrom(null);
    meter.enter('dumping', null);
    meter.set(500);
    expect(shown.at(-1)).toMatchObject({ bytes: 500, percent: null });
  });

  test('stops at 99 when the estimate was too small', () => {
    const { meter, shown } = meterFrom(null);
    meter.enter('dumping', 100);
    meter.set(1000);
    expect(shown.at(-1)).toMatchObject({ percent: 99 });
  });

  test('does not go back in a new attempt, although its bytes begin again', () => {
    const { meter, shown } = meterFrom(60);
    meter.enter('dumping', 1000);
    meter.set(100);
    expect(shown.at(-1)).toMatchObject({ bytes: 100, percent: 60 });
    meter.set(700);
    expect(shown.at(-1)).toMatchObject({ percent: 70 });
  });

  test('covers its own share of a restore', () => {
    const { meter, shown } = meterFrom(null, [15, 75]);
    meter.enter('loading', 100);
    meter.set(50);
    expect(shown.at(-1)).toMatchObject({ percent: 45 });
  });
});
