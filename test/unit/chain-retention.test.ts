import { describe, expect, it } from 'vitest';
import { createRandom } from '../../scripts/soak/random.js';
import type { RetainedSlice, RetentionInput } from '../../src/domain/chain-retention.js';
import { decideRetention } from '../../src/domain/chain-retention.js';
import type { PlanInput } from '../../src/domain/recovery-plan.js';
import { planBackup, planPoint } from '../../src/domain/recovery-plan.js';
import type { ChainBackup } from '../../src/domain/recovery-window.js';

/** Hour `n` of a month, as a time and as a place in the log: 0x100 bytes are written per hour, a file is 0x400. */
const begin = Date.UTC(2026, 0, 1);
const time = (hour: number) => new Date(begin + hour * 3_600_000).toISOString();
const lsn = (hour: number) => ({ lsn: `0/${Math.round(hour * 0x100).toString(16)}` });

const full = (id: string, hour: number, epoch: number | null = 0): ChainBackup => ({
  id,
  kind: 'full',
  incremental: null,
  parentId: null,
  epoch,
  takenAt: time(hour),
  startPosition: lsn(hour - 0.1),
  endPosition: lsn(hour),
});
const physical = (id: string, parentId: string, hour: number, epoch = 0): ChainBackup => ({
  ...full(id, hour, epoch),
  kind: 'incremental',
  incremental: 'physical',
  parentId,
});
const byLog = (id: string, parentId: string, hour: number, epoch = 0): ChainBackup => ({
  ...physical(id, parentId, hour, epoch),
  incremental: 'log',
});
const slice = (hour: number, epoch = 0): RetainedSlice => ({
  id: `slice-${epoch}-${hour}`,
  storedBytes: 100,
  epoch,
  fromSeq: hour + 1,
  seq: hour + 1,
  file: `log.${Math.floor(hour / 4)}`,
  offset: (hour % 4) * 0x100,
  startPosition: lsn(hour),
  endPosition: lsn(hour + 1),
  coversTo: time(hour + 1),
});
const slices = (from: number, to: number, epoch = 0) =>
  Array.from({ length: to - from }, (_, index) => slice(from + index, epoch));

const rules = { fulls: 2, incrementalDays: 2, pitrHours: 24 };
function decide(changes: Partial<Omit<RetentionInput, 'now'>> & { hour: number }) {
  const { hour, ...rest } = changes;
  return decideRetention({
    backups: [],
    slices: [],
    present: null,
    pitr: false,
    rules,
    pins: { backupIds: [], logs: [] },
    now: new Date(time(hour)),
    ...rest,
  });
}
const hoursOf = (ids: readonly string[]) => ids.map((id) => Number(id.split('-')[2]));

describe('retention of fulls and incrementals', () => {
  it('keeps the newest fulls and takes everything that is built on the others', () => {
    const backups = [
      full('a', 0),
      physical('a1', 'a', 4),
      physical('a2', 'a1', 8),
      full('b', 24),
      physical('b1', 'b', 28),
      full('c', 48),
    ];
    const { deleteBackups, reasons, keptBecause } = decide({ backups, hour: 50 });
    expect(deleteBackups).toEqual(['a2', 'a1', 'a']);
    expect(reasons).toEqual({ a: 'there are 2 newer fulls', a1: 'its full a goes', a2: 'its full a goes' });
    expect(Object.keys(keptBecause).sort()).toEqual(['b', 'b1', 'c']);
    expect(keptBecause.c).toBe('the newest full always stays');
  });

  it('never lets the newest full go, however old it is and however few are kept', () => {
    const { deleteBackups } = decide({ backups: [full('a', 0)], rules: { ...rules, fulls: 1 }, hour: 24 * 700 });
    expect(deleteBackups).toEqual([]);
  });

  it('does not count a damaged full, and keeps it until as many newer ones are good', () => {
    const damaged = { ...full('c', 48), damaged: true };
    const { deleteBackups, keptBecause } = decide({ backups: [full('a', 0), full('b', 24), damaged], hour: 50 });
    expect(deleteBackups).toEqual([]);
    expect(keptBecause.b).toBe('the newest full always stays');
    const later = [full('a', 0), full('b', 24), damaged, full('d', 72), full('e', 96)];
    expect(decide({ backups: later, hour: 98 }).deleteBackups).toEqual(['c', 'b', 'a']);
  });

  it('cuts a chain from its end, never from its middle', () => {
    const old = [full('a', 0), physical('a1', 'a', 10), physical('a2', 'a1', 20)];
    expect(decide({ backups: [...old, physical('a3', 'a2', 60)], hour: 100 }).deleteBackups).toEqual([]);
    expect(decide({ backups: [...old, physical('a3', 'a2', 60)], hour: 100 }).keptBecause.a1).toBe('a3 is built on it');
    expect(decide({ backups: [...old, physical('a3', 'a2', 60)], hour: 109 }).deleteBackups).toEqual([
      'a3',
      'a2',
      'a1',
    ]);
  });

  it('lets one branch of a chain go and keeps the other', () => {
    const backups = [full('a', 0), physical('old', 'a', 5), physical('young', 'a', 60)];
    expect(decide({ backups, hour: 100 }).deleteBackups).toEqual(['old']);
  });

  it('removes what cannot be restored any more because something it is built on is gone', () => {
    const backups = [full('a', 0), physical('a2', 'deleted', 20), physical('a3', 'a2', 30)];
    const { deleteBackups, reasons } = decide({ backups, hour: 31 });
    expect(deleteBackups).toEqual(['a3', 'a2']);
    expect(reasons.a3).toBe('a backup that it is built on is gone');
  });

  it('keeps what a restore reads, with all that it is built on, and nothing else of that full', () => {
    const backups = [
      full('a', 0),
      physical('a1', 'a', 4),
      physical('a2', 'a1', 8),
      physical('other', 'a', 9),
      full('b', 70),
      full('c', 80),
    ];
    const pins = { backupIds: ['a2'], logs: [] };
    const { deleteBackups, keptBecause } = decide({ backups, pins, hour: 81 });
    expect(deleteBackups).toEqual(['other']);
    expect(keptBecause).toMatchObject({ a2: 'a run or a restore needs it now', a: 'a2 is built on it' });
  });

  it('gives no two decisions for one backup, also when parent and child are of the same moment', () => {
    const backups = [full('a', 0), physical('z', 'a', 10), physical('y', 'z', 10), physical('x', 'y', 99)];
    const { deleteBackups, reasons } = decide({ backups, hour: 100 });
    expect(deleteBackups).toEqual([]);
    expect(reasons).toEqual({});
  });
});

describe('retention of the log', () => {
  const pitr = { pitr: true, present: { epoch: 0, coveredTo: time(100) } };

  it('keeps the log from the newest base before the promised window on, and that base', () => {
    const backups = [full('a', 10), full('b', 50), full('c', 74), full('d', 98)];
    const { deleteBackups, deleteSlices, keptBecause } = decide({
      ...pitr,
      backups,
      slices: slices(0, 100),
      hour: 100,
    });
    // 76 is where the window begins: c is the newest full before it, whose file begins at hour 72.
    expect(deleteBackups).toEqual(['b', 'a']);
    expect(hoursOf(deleteSlices)).toEqual(Array.from({ length: 72 }, (_, hour) => hour));
    expect(keptBecause.c).toBe('one of the newest 2 fulls');
  });

  it('begins the window with an incremental that is kept, with the full it is built on but without the log between', () => {
    const backups = [full('a', 10), physical('a1', 'a', 74), full('b', 98), full('c', 99)];
    const { deleteBackups, deleteSlices, keptBecause } = decide({
      ...pitr,
      backups,
      slices: slices(0, 100),
      hour: 100,
    });
    expect(deleteBackups).toEqual([]);
    expect(keptBecause).toMatchObject({
      a1: 'the promised window of 24 hours begins with it',
      a: 'a1 is built on it',
    });
    expect(Math.max(...hoursOf(deleteSlices))).toBe(71);
  });

  it('keeps fulls inside the promised window whatever their number, so that one of them begins it one day', () => {
    const backups = [full('a', 50), full('b', 80), full('c', 90), full('d', 98)];
    const few = { ...rules, fulls: 1 };
    const { deleteBackups, keptBecause } = decide({ ...pitr, rules: few, backups, slices: slices(0, 100), hour: 100 });
    expect(deleteBackups).toEqual([]);
    expect(keptBecause.b).toBe('it lies in the promised window of 24 hours');
    // Once b is old enough, a is not needed any more.
    const later = { ...pitr, present: { epoch: 0, coveredTo: time(105) } };
    expect(decide({ ...later, rules: few, backups, slices: slices(0, 105), hour: 105 }).deleteBackups).toEqual(['a']);
  });

  it('keeps the whole range of a kept log incremental, and cuts what lies between it and the window', () => {
    const backups = [full('a', 10), byLog('a1', 'a', 20), byLog('a2', 'a1', 30), full('b', 70), full('c', 98)];
    const many = { ...rules, fulls: 3, incrementalDays: 30 };
    const { deleteBackups, deleteSlices } = decide({
      ...pitr,
      rules: many,
      backups,
      slices: slices(0, 100),
      hour: 100,
    });
    expect(deleteBackups).toEqual([]);
    // a begins in the file of hour 8; a2 ends at 30, and one slice beyond shows it. b is in the file of hour 68.
    const gone = hoursOf(deleteSlices);
    expect(gone.filter((hour) => hour < 40)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 32, 33, 34, 35, 36, 37, 38, 39]);
    expect(Math.max(...gone)).toBe(67);
  });

  it('lets nothing go while the log does not come any further', () => {
    const backups = [full('a', 10), full('b', 20)];
    const stored = slices(0, 30);
    const silent = { pitr: true, present: { epoch: 0, coveredTo: time(30) } };
    // Nothing but what comes before the file in which the first full begins.
    expect(decide({ ...silent, backups, slices: stored, hour: 500 }).deleteSlices).toHaveLength(8);
    expect(decide({ ...silent, backups, slices: stored, hour: 500 }).promisedFrom).toBe(time(6));
  });

  it('lets the log go by age once PITR is switched off, but not its newest slice', () => {
    const backups = [full('a', 10), full('b', 20)];
    const off = { pitr: false, present: { epoch: 0, coveredTo: time(30) } };
    const { deleteBackups, deleteSlices } = decide({ ...off, backups, slices: slices(0, 30), hour: 500 });
    expect(deleteBackups).toEqual([]);
    expect(hoursOf(deleteSlices)).toEqual(Array.from({ length: 29 }, (_, hour) => hour));
  });

  it('keeps an older stretch of log for as long as it reaches into the window', () => {
    const backups = [full('a', 10), full('b', 60), full('c', 85, 1), full('d', 95, 1)];
    const stored = [...slices(0, 80), ...slices(82, 100, 1)];
    const present = { epoch: 1, coveredTo: time(100) };
    const one = { ...rules, fulls: 1 };
    const now = decide({ pitr: true, present, rules: one, backups, slices: stored, hour: 100 });
    expect(now.deleteBackups).toEqual(['a']);
    const [before, after] = [0, 1].map((epoch) =>
      hoursOf(now.deleteSlices.filter((id) => id.startsWith(`slice-${epoch}`))),
    );
    expect(Math.max(...(before ?? []))).toBe(55);
    // Of no use before the full that begins the new stretch.
    expect(after).toEqual([82, 83]);
    const later = decide({
      pitr: true,
      present: { epoch: 1, coveredTo: time(105) },
      rules: one,
      backups,
      slices: [...slices(0, 80), ...slices(82, 105, 1)],
      hour: 105,
    });
    expect(later.deleteBackups).toEqual(['b', 'a']);
    expect(later.deleteSlices.filter((id) => id.startsWith('slice-0'))).toHaveLength(80);
  });

  it('takes the log that only a deleted full needed, whatever its age, and keeps that of a full which stays or is on its way', () => {
    const present = { epoch: 1, coveredTo: time(30) };
    const stored = [...slices(0, 10), ...slices(0, 30, 1)];
    const goes = (backups: readonly ChainBackup[], more: object = {}) =>
      decide({ hour: 30, backups, slices: stored, present, pitr: true, rules: { ...rules, pitrHours: 48 }, ...more })
        .deleteSlices;
    const [old, first, second] = [full('old', 2), full('first', 3, 1), full('second', 22, 1)];
    expect(goes([old, first, second])).toEqual([]);
    // The full of the epoch before was deleted: nothing of it can be recovered any more.
    expect(goes([first, second])).toEqual(slices(0, 10).map(({ id }) => id));
    // The first of two: the log begins with the file in which the second begins.
    expect(goes([old, second])).toEqual(slices(0, 20, 1).map(({ id }) => id));
    expect(goes([old, { ...first, damaged: true }, second])).toEqual([]);
    expect(goes([old])).toEqual([]);
    const pins = { backupIds: [], logs: [{ epoch: 0, fromSeq: 3, toSeq: 4 }] };
    expect(goes([first, second], { pins })).toHaveLength(8);
  });

  it('keeps the log that a restore reads', () => {
    const pins = { backupIds: [], logs: [{ epoch: 0, fromSeq: 5, toSeq: 8 }] };
    const backups = [full('a', 50), full('b', 98)];
    const { deleteSlices } = decide({ ...pitr, backups, pins, slices: slices(0, 100), hour: 100 });
    expect(hoursOf(deleteSlices).slice(0, 6)).toEqual([0, 1, 2, 3, 8, 9]);
  });

  it('takes a slice that does not say what it covers to reach as far as the next one that does', () => {
    const stored = slices(0, 100).map((one, index) => (index === 97 ? one : { ...one, coversTo: null }));
    const { deleteSlices } = decide({ pitr: true, backups: [], slices: stored, hour: 100 });
    expect(deleteSlices).toEqual([]);
  });
});

type Chain = { backups: ChainBackup[]; slices: RetainedSlice[]; epoch: number; coveredTo: string };

/** Whether a plan's parts are all there, looked at without the code that made it. */
function isWhole(chain: Chain, plan: ReturnType<typeof planPoint>, until: number): boolean {
  const parts = plan.backupIds.map((id) => chain.backups.find((one) => one.id === id));
  if (parts.includes(undefined) || parts[0]?.kind !== 'full') return false;
  if (!parts.every((part, index) => index === 0 || part?.incremental === 'physical')) return false;
  const { log } = plan;
  if (log === null) return false;
  const read = chain.slices.filter(
    ({ epoch, fromSeq, seq }) => epoch === log.epoch && fromSeq >= log.fromSeq && seq <= log.toSeq,
  );
  const hasNoHole = read.every((one, index) => index === 0 || one.fromSeq === (read[index - 1]?.seq ?? 0) + 1);
  const tip = parts.at(-1);
  const start = Number.parseInt(read[0]?.startPosition.lsn?.slice(2) ?? 'ffffffff', 16);
  const end = Number.parseInt(read.at(-1)?.endPosition.lsn?.slice(2) ?? '0', 16);
  const from = Number.parseInt(tip?.endPosition.lsn?.slice(2) ?? '0', 16);
  return hasNoHole && read[0]?.offset === 0 && start <= from && end >= until * 0x100;
}

describe('retention over months of a random chain', () => {
  const seeds = Array.from({ length: 12 }, (_, index) => index + 1);
  it.each(seeds)('keeps every point of the promised window, and what is kept restorable (seed %i)', (seed) => {
    const random = createRandom('chain-retention', seed);
    const kind = random.pick(['physical', 'log'] as const);
    const settings = {
      fulls: random.int(1, 5),
      incrementalDays: random.int(1, 8),
      pitrHours: random.int(1, 120),
    };
    const fullEvery = random.pick([24, 48, 168]);
    const step = random.pick([2, 4, 12]);
    const chain: Chain = { backups: [], slices: [], epoch: 0, coveredTo: time(0) };
    let last: ChainBackup | undefined;
    let most = 0;
    for (let hour = 0; hour < 24 * 30; hour += 1) {
      // A gap now and then: an hour of log is lost, and a full begins the next epoch, whose log begins with a file.
      const gap = hour % 4 === 3 && random.chance(0.01);
      if (gap) chain.epoch += 1;
      else chain.slices.push(slice(hour, chain.epoch));
      chain.coveredTo = time(hour + 1);
      const at = hour + 0.5;
      const isFull = last === undefined || gap || hour % fullEvery === 0;
      if (isFull) last = full(`full-${hour}`, gap ? hour + 1.5 : at, chain.epoch);
      else if (last !== undefined && hour % step === 0) {
        last = { ...(kind === 'log' ? byLog : physical)(`inc-${hour}`, last.id, at, chain.epoch) };
      } else continue;
      chain.backups.push(last);
      if (hour % 24 !== 0) continue;

      const before: PlanInput = { ...chain, present: { epoch: chain.epoch, coveredTo: chain.coveredTo } };
      const input = { ...chain, present: before.present, pitr: true, rules: settings, now: new Date(time(hour + 1)) };
      const decision = decideRetention({ ...input, pins: { backupIds: [], logs: [] } });
      const gone = new Set([...decision.deleteBackups, ...decision.deleteSlices]);
      const promisedFrom = Math.max(0, hour + 1 - settings.pitrHours);
      expect(decision.promisedFrom).toBe(time(hour + 1 - settings.pitrHours));
      const points = Array.from({ length: 6 }, () => promisedFrom + random.next() * (hour + 1 - promisedFrom));
      const restorable = points.filter((point) => canReach(before, point));
      const some = Array.from({ length: 6 }, () => random.pick(chain.backups));
      const restorableBackups = some.filter(({ id }) => canPutBack(before, id));
      chain.backups = chain.backups.filter(({ id }) => !gone.has(id));
      chain.slices = chain.slices.filter(({ id }) => !gone.has(id));
      const after: PlanInput = { ...chain, present: before.present };
      for (const point of restorable) {
        const plan = planPoint(after, { kind: 'time', time: time(point), before: false });
        expect(isWhole(chain, plan, Math.floor(point)), `${point} at ${hour}`).toBe(true);
      }
      for (const { id } of restorableBackups.filter((one) => !gone.has(one.id))) planBackup(after, id);
      expect(chain.backups.some((one) => one.kind === 'full')).toBe(true);
      most = Math.max(most, chain.slices.length);
    }
    // It does let go: the log of two months is never there at once.
    const longest = settings.pitrHours + fullEvery + (kind === 'log' ? settings.fulls * fullEvery : 0) + 24;
    expect(most).toBeLessThan(Math.max(longest, settings.pitrHours * 2 + fullEvery * 2));
  });
});

function canReach(input: PlanInput, point: number): boolean {
  try {
    planPoint(input, { kind: 'time', time: time(point), before: false });
    return true;
  } catch {
    return false;
  }
}

function canPutBack(input: PlanInput, id: string): boolean {
  try {
    planBackup(input, id);
    return true;
  } catch {
    return false;
  }
}
