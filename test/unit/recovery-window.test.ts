import { describe, expect, it } from 'vitest';
import { compareLogPositions } from '../../src/domain/compare-positions.js';
import type { PlanInput, PlanSlice } from '../../src/domain/recovery-plan.js';
import { groupRuns, planBackup, planPoint } from '../../src/domain/recovery-plan.js';
import { positionFault } from '../../src/domain/recovery-target.js';
import type { ChainBackup } from '../../src/domain/recovery-window.js';
import { computeWindow } from '../../src/domain/recovery-window.js';
import { leaveOutLater } from '../../src/recovery/leave-out-later.js';

/** Minute `n` of an hour as a time, and as a place in the log: 0x100 bytes are written per minute, a file is 0x400. */
const time = (minute: number) => new Date(Date.UTC(2026, 0, 1, 12, 0) + minute * 60_000).toISOString();
const lsn = (minute: number) => ({ lsn: `0/${Math.round(minute * 0x100).toString(16)}` });

function full(id: string, minute: number, epoch: number | null = 0): ChainBackup {
  return {
    id,
    kind: 'full',
    incremental: null,
    parentId: null,
    epoch,
    takenAt: time(minute),
    startPosition: lsn(minute - 0.5),
    endPosition: lsn(minute),
  };
}
const physical = (id: string, parentId: string, minute: number, epoch = 0): ChainBackup => ({
  ...full(id, minute, epoch),
  kind: 'incremental',
  incremental: 'physical',
  parentId,
});
const byLog = (id: string, parentId: string, minute: number, epoch = 0): ChainBackup => ({
  ...physical(id, parentId, minute, epoch),
  incremental: 'log',
});

/** One slice per minute, four per file. */
function slices(from: number, to: number, epoch = 0): PlanSlice[] {
  return Array.from({ length: to - from }, (_, index) => {
    const minute = from + index;
    return {
      epoch,
      fromSeq: minute + 1,
      seq: minute + 1,
      file: `file${Math.floor(minute / 4)}`,
      offset: (minute % 4) * 0x100,
      startPosition: lsn(minute),
      endPosition: lsn(minute + 1),
      coversTo: time(minute + 1),
    };
  });
}

const windowOf = (backups: ChainBackup[], stored: PlanSlice[], present: PlanInput['present'] = null) =>
  computeWindow(backups, groupRuns(stored, present));

describe('the recovery window', () => {
  it('is nothing without a backup, whatever log is stored', () => {
    expect(windowOf([], slices(0, 10))).toBeNull();
  });

  it('begins at the oldest full that lies in the log and ends where the log is known to cover everything', () => {
    const window = windowOf([full('a', 2.5), full('b', 6.5)], slices(0, 10));
    expect(window).toEqual({ from: time(2.5), to: time(10), runs: [{ from: time(2.5), to: time(10) }] });
  });

  it('moves on an idle source, whose log does not grow', () => {
    const window = windowOf([full('a', 2.5)], slices(0, 4), { epoch: 0, coveredTo: time(55) });
    expect(window?.to).toBe(time(55));
  });

  it('never goes back with the clock of a source that took over', () => {
    const behind = slices(0, 6).map((slice, index) => (index < 5 ? slice : { ...slice, coversTo: time(1) }));
    expect(windowOf([full('a', 0.5)], behind)?.to).toBe(time(5));
    expect(windowOf([full('a', 0.5)], behind, { epoch: 0, coveredTo: time(3) })?.to).toBe(time(5));
  });

  it('does not reach over a hole, and says so as two stretches', () => {
    const stored = [...slices(0, 5), ...slices(6, 12)];
    const window = windowOf([full('a', 1.5), full('b', 8.5)], stored);
    expect(window?.runs).toEqual([
      { from: time(1.5), to: time(5) },
      { from: time(8.5), to: time(12) },
    ]);
    expect(window?.from).toBe(time(8.5));
  });

  it('begins anew only with a full after a gap: until then it stays where the old epoch ended', () => {
    const stored = [...slices(0, 5), ...slices(5, 12, 1)];
    const present = { epoch: 1, coveredTo: time(12) };
    expect(windowOf([full('a', 1.5)], stored, present)?.to).toBe(time(5));
    const later = windowOf([full('a', 1.5), full('b', 8.5, 1)], stored, present);
    expect(later).toMatchObject({ from: time(8.5), to: time(12) });
    expect(later?.runs).toHaveLength(2);
  });

  it('does not count a full of another epoch although its position lies inside', () => {
    expect(windowOf([full('a', 8.5, 0)], slices(5, 12, 1))?.runs).toEqual([{ from: time(8.5), to: time(8.5) }]);
  });

  it('keeps a full as a point when retention has removed its log, and begins at the next', () => {
    const window = windowOf([full('a', 1.5), full('b', 8.5)], slices(6, 12));
    expect(window?.runs).toEqual([
      { from: time(1.5), to: time(1.5) },
      { from: time(8.5), to: time(12) },
    ]);
  });

  it('can begin at a physical incremental whose full is older than the log', () => {
    const backups = [full('a', 1.5), physical('b', 'a', 7.5)];
    expect(windowOf(backups, slices(6, 12))?.from).toBe(time(7.5));
    expect(windowOf([physical('b', 'a', 7.5)], slices(6, 12))).toBeNull();
  });

  it('without a log reaches from the oldest to the newest backup, of which only they are points', () => {
    const window = windowOf([full('a', 1, null), full('b', 5, null)], []);
    expect(window).toMatchObject({ from: time(1), to: time(5) });
    expect(window?.runs).toHaveLength(2);
  });

  it('of a database that came later begins with the first backup that has it, or when it joined if that was before', () => {
    const of = (names: string[], since: number | null, stored = slices(0, 20)) => {
      const holding = (backup: ChainBackup) => ({
        ...backup,
        databases: names.includes(backup.id) ? ['shop'] : ['app'],
      });
      const backups = [full('a', 2), physical('b', 'a', 8), full('c', 12), full('d', 30)].map(holding);
      const whose = { database: 'shop', since: since === null ? null : time(since) };
      return computeWindow(backups, groupRuns(stored, null), whose)?.runs.map(({ from, to }) => [from, to]) ?? null;
    };
    const [begin, last] = [
      [time(2), time(20)],
      [time(30), time(30)],
    ];
    expect(of(['a', 'b', 'c', 'd'], null)).toEqual([begin, last]);
    expect(of(['b', 'c', 'd'], null)).toEqual([[time(8), time(20)], last]);
    expect(of(['b', 'c', 'd'], 5)).toEqual([[time(5), time(20)], last]);
    expect(of(['b', 'c', 'd'], 10)).toEqual([[time(8), time(20)], last]);
    expect(of(['d'], 15)).toEqual([[time(15), time(20)], last]);
    // Attached before the full began and made while it was read: the log behind the full has it.
    expect(of(['b', 'c', 'd'], 1)).toEqual([begin, last]);
    expect(of([], 40)).toBeNull();
    expect(of([], 25, [])).toEqual([last]);
  });

  it('of a database reaches as far as ever where backups do not say what they hold', () => {
    const stored = groupRuns(slices(0, 20), null);
    const whose = { database: 'shop', since: time(15) };
    expect(computeWindow([full('a', 2)], stored, whose)).toMatchObject({ from: time(2), to: time(20) });
  });

  it('takes larger slices for those that they replaced', () => {
    const [first, ...rest] = slices(0, 8);
    const merged = { ...(first as PlanSlice), fromSeq: 1, seq: 4, endPosition: lsn(4), coversTo: time(4) };
    expect(windowOf([full('a', 2.5)], [merged, ...rest.slice(3)])?.to).toBe(time(8));
  });
});

describe('the plan of a recovery', () => {
  const backups = [full('a', 2.5), physical('b', 'a', 6.5), full('c', 12.5), byLog('d', 'c', 14.5)];
  const input: PlanInput = { backups, slices: slices(0, 20), present: { epoch: 0, coveredTo: time(30) } };
  const at = (minute: number) => planPoint(input, { kind: 'time', time: time(minute), before: false });

  it('begins at the newest backup before the point, with all that it is built on', () => {
    expect(at(5).backupIds).toEqual(['a']);
    expect(at(7).backupIds).toEqual(['a', 'b']);
    // Of the same millisecond as c, which may have ended a little later.
    expect(at(12.5).backupIds).toEqual(['a', 'b']);
    expect(at(12.6).backupIds).toEqual(['c']);
    expect(at(16).backupIds).toEqual(['c']);
  });

  it('reads from the beginning of the file in which the backup begins to one slice beyond the minute after the point', () => {
    // The full begins in minute 2, in the first file; the point lies in the sixth slice. A commit of that time may be written late, into the
    // seventh, and one more shows that all was passed.
    expect(at(5.5).log).toMatchObject({ fromSeq: 1, toSeq: 8 });
    expect(at(16).log).toMatchObject({ fromSeq: 13, toSeq: 19 });
  });

  it('reads to the end for the latest point and for a time after the last commit of an idle source', () => {
    const latest = planPoint(input, { kind: 'latest' });
    expect(latest).toMatchObject({ backupIds: ['c'], log: { toSeq: 20, end: lsn(20) } });
    expect(at(29).log?.toSeq).toBe(20);
  });

  it('refuses a point outside, naming the window', () => {
    expect(() => at(1)).toThrow(`${time(2.5)} to ${time(30)}`);
    expect(() => at(31)).toThrow('outside the recovery window');
  });

  it('finds the place of an LSN', () => {
    const plan = planPoint(input, { kind: 'position', position: lsn(5.5).lsn, before: false });
    expect(plan).toMatchObject({ backupIds: ['a'], log: { toSeq: 7 } });
    expect(() => planPoint(input, { kind: 'position', position: lsn(25).lsn, before: false })).toThrow('outside');
  });

  it('refuses a GTID that the oldest backup holds, naming the window, and what is no position of the engine', () => {
    const held = [{ ...full('a', 1), endPosition: { file: 'b.1', filePosition: '10', gtidSet: '0-1-5' } }];
    const to = (position: string) => {
      const target = { kind: 'position', position, before: false } as const;
      return planPoint(leaveOutLater({ backups: held, slices: [], present: null }, 'mariadb', target), target);
    };
    expect(() => to('0-1-3')).toThrow(`The position 0-1-3 lies outside the recovery window: ${time(1)}.`);
    expect(() => to('nonsense')).toThrow('must be the GTID of one transaction, such as 0-1-25');
    const gtid = '3e11fa47-71ca-11e1-9e33-c80aa9429562';
    expect(['16/B374D848', '0-1-25'].map((text) => positionFault('postgresql', text) === null)).toEqual([true, false]);
    const mysql = [`${gtid}:23`, `${gtid}:tag:23`, '0/1'];
    expect(mysql.map((text) => positionFault('mysql', text) === null)).toEqual([true, true, false]);
  });

  it('refuses an LSN that lies on two timelines, naming both, and finds one that lies on one', () => {
    const on = (timeline: number, stored: PlanSlice[]) =>
      stored.map((slice) => ({
        ...slice,
        startPosition: { ...slice.startPosition, timeline },
        endPosition: { ...slice.endPosition, timeline },
      }));
    // The old primary wrote up to minute 10; its successor left it at minute 8, and the archive went on there after a gap.
    const forked: PlanInput = {
      backups: [full('a', 2.5), full('b', 11.5, 1)],
      slices: [...on(1, slices(0, 10)), ...on(2, slices(8, 16, 1))],
      present: null,
    };
    const find = (minute: number) =>
      planPoint(forked, { kind: 'position', position: lsn(minute).lsn, before: false }).backupIds;
    expect(find(5)).toEqual(['a']);
    expect(find(14)).toEqual(['b']);
    expect(() => find(9)).toThrow(/timeline 1 .* and on timeline 2/);
    // Two stretches of one history.
    const again = { ...forked, slices: [...on(1, slices(0, 10)), ...on(1, slices(8, 16, 1))] };
    expect(planPoint(again, { kind: 'position', position: lsn(9).lsn, before: false }).backupIds).toEqual(['a']);
  });

  it('passes over what was found damaged, and what is built on it, for the next older one that the log reaches on from', () => {
    const without = (id: string, minute: number) => {
      const damaged = { ...input, backups: backups.map((one) => (one.id === id ? { ...one, damaged: true } : one)) };
      return planPoint(damaged, { kind: 'time', time: time(minute), before: false });
    };
    expect(without('c', 16)).toMatchObject({ backupIds: ['a', 'b'], log: { fromSeq: 5 } });
    expect(without('b', 7)).toMatchObject({ backupIds: ['a'], log: { fromSeq: 1 } });
    expect(() => without('a', 7)).toThrow('outside the recovery window');
    // Asked for by its id it is tried: the store may have it again.
    const asked = { ...input, backups: backups.map((one) => ({ ...one, damaged: true })) };
    expect(planBackup(asked, 'b').backupIds).toEqual(['a', 'b']);
  });

  it('of a full or physical incremental reads no log', () => {
    expect(planBackup(input, 'b')).toEqual({ backupIds: ['a', 'b'], target: { kind: 'end_of_backup' }, log: null });
  });

  it('of a log incremental replays exactly to where it ends', () => {
    expect(planBackup(input, 'd')).toMatchObject({
      backupIds: ['c'],
      target: { kind: 'position', position: lsn(14.5).lsn, before: true },
      log: { fromSeq: 13, toSeq: 16 },
    });
    const files = { file: 'binlog.000007', filePosition: '4711' };
    const mysql = (backup: ChainBackup, number: string): ChainBackup => ({
      ...backup,
      startPosition: { file: `binlog.${number}`, filePosition: '4' },
      endPosition: { file: `binlog.${number}`, filePosition: '4' },
    });
    const stored = slices(0, 4).map((slice, index) => ({
      ...slice,
      offset: 0,
      startPosition: { file: `binlog.00000${5 + index}`, filePosition: '4' },
      endPosition: { file: `binlog.00000${5 + index}`, filePosition: '9000' },
    }));
    const chain = [mysql(full('a', 1), '000006'), { ...byLog('b', 'a', 2), endPosition: files }];
    expect(planBackup({ backups: chain, slices: stored, present: null }, 'b')).toMatchObject({
      target: { kind: 'latest' },
      log: { fromSeq: 2, cutAt: { file: 'binlog.000007', offset: 4711 } },
    });
  });

  it('of a log incremental is refused when a part of its log is gone', () => {
    const holed = { ...input, slices: input.slices.filter((slice) => slice.seq !== 14) };
    expect(() => planBackup(holed, 'd')).toThrow('not stored without a hole');
  });
});

describe('positions of a log', () => {
  it('are ordered by timeline and LSN, and by file number and offset', () => {
    expect(compareLogPositions({ lsn: '0/A' }, { lsn: '1/0' })).toBeLessThan(0);
    expect(compareLogPositions({ lsn: '0/F', timeline: 1 }, { lsn: '0/A', timeline: 2 })).toBeLessThan(0);
    expect(
      compareLogPositions({ file: 'b.999999', filePosition: '9' }, { file: 'b.1000000', filePosition: '4' }),
    ).toBeLessThan(0);
    expect(
      compareLogPositions({ file: 'b.000001', filePosition: '10' }, { file: 'b.000001', filePosition: '9' }),
    ).toBeGreaterThan(0);
  });
});
