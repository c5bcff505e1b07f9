import { compareLogPositions } from './compare-positions.js';
import { TidemarkError } from './errors.js';
import type { LogPosition } from './positions.js';
import type { RecoveryTarget } from './recovery-target.js';
import type { Base, ChainBackup, LogRun } from './recovery-window.js';
import { computeWindow, listBases, pathOf, runOf, windowText } from './recovery-window.js';

/** A stored slice, as far as it decides what a recovery reads. */
export type PlanSlice = {
  readonly epoch: number;
  readonly fromSeq: number;
  readonly seq: number;
  readonly file: string;
  readonly offset: number;
  readonly startPosition: LogPosition;
  readonly endPosition: LogPosition;
  readonly coversTo: string | null;
};

/** What a recovery reads, decided before it begins. */
export type RecoveryPlan = {
  /** A full, then its physical incrementals in order. */
  readonly backupIds: readonly string[];
  readonly target: RecoveryTarget;
  /** Null: the backup alone. */
  readonly log: {
    readonly epoch: number;
    readonly fromSeq: number;
    readonly toSeq: number;
    /** To here the log is stored without a hole. */
    readonly end: LogPosition;
    /** Nothing of the log behind this place is given to the recovery. */
    readonly cutAt: { readonly file: string; readonly offset: number } | null;
  } | null;
};

export type PlanInput = {
  readonly backups: readonly ChainBackup[];
  /** Of the window too, but of no use for the point. */
  readonly leftOut?: readonly ChainBackup[];
  /** Live slices that nothing replaces, in order of epoch and number. */
  readonly slices: readonly PlanSlice[];
  /** The archive's present epoch and what it covers, which on an idle source is later than its last slice. */
  readonly present: { readonly epoch: number; readonly coveredTo: string | null } | null;
};

/** Stretches of log without a hole, from slices in order. */
export function groupRuns(slices: readonly PlanSlice[], present: PlanInput['present']): LogRun[] {
  const runs: LogRun[] = [];
  for (const slice of slices) {
    const last = runs.at(-1);
    if (last !== undefined && last.epoch === slice.epoch && slice.fromSeq === last.toSeq + 1) {
      runs[runs.length - 1] = {
        ...last,
        toSeq: slice.seq,
        end: slice.endPosition,
        coversTo: later(last.coversTo, slice.coversTo),
      };
    } else {
      const { epoch, fromSeq, seq: toSeq, startPosition: start, endPosition: end, coversTo } = slice;
      runs.push({ epoch, fromSeq, toSeq, start, end, coversTo });
    }
  }
  return withPresent(runs, present);
}

/** The newest run of the present epoch reaches as far as the archive says. */
export function withPresent(runs: readonly LogRun[], present: PlanInput['present']): LogRun[] {
  const last = runs.at(-1);
  if (last === undefined || present === null || last.epoch !== present.epoch || present.coveredTo === null) {
    return [...runs];
  }
  return [...runs.slice(0, -1), { ...last, coversTo: later(last.coversTo, present.coveredTo) }];
}

/** The later of two times: the clock of a source that took over may go behind. */
function later(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return Date.parse(a) < Date.parse(b) ? b : a;
}

/** Decides what is read to reach a point of the log. Throws `outside_window`, naming the window, and `position_ambiguous`. */
export function planPoint(input: PlanInput, target: RecoveryTarget): RecoveryPlan {
  const runs = groupRuns(input.slices, input.present);
  const chosen = chooseBase(input, runs, target);
  if (chosen === null) {
    throw new TidemarkError(
      'outside_window',
      `${pointText(target)} lies outside the recovery window: ${windowText(computeWindow([...input.backups, ...(input.leftOut ?? [])], runs))}.`,
    );
  }
  const { base, run } = chosen;
  const backupIds = base.path.map((backup) => backup.id);
  if (run === null) return { backupIds, target: { kind: 'end_of_backup' }, log: null };
  const range = rangeFor(input.slices, run, base, target);
  return { backupIds, target, log: { ...range, cutAt: null } };
}

/** Decides what is read to put back one full or incremental as it was taken. Throws `backup_not_restorable` when what it needs is gone. */
export function planBackup(input: PlanInput, backupId: string): RecoveryPlan {
  const byId = new Map(input.backups.map((backup) => [backup.id, backup]));
  const wanted = byId.get(backupId);
  const refuse = (why: string) =>
    new TidemarkError('backup_not_restorable', `Backup ${backupId} cannot be restored: ${why}.`, { object: backupId });
  if (wanted === undefined) throw refuse('it is not one of its chain');
  const path = pathOf(wanted, byId);
  if (path === null) throw refuse('a backup that it is built on is gone');
  if (wanted.incremental !== 'log') {
    return { backupIds: path.map((backup) => backup.id), target: { kind: 'end_of_backup' }, log: null };
  }
  const physical = path.filter((backup) => backup !== wanted);
  const base: Base | null = physical.length === 0 ? null : { tip: physical.at(-1) as ChainBackup, path: physical };
  const run = base === null ? null : runOf(base, groupRuns(input.slices, input.present));
  if (base === null || run === null || compareLogPositions(run.end, wanted.endPosition) < 0) {
    throw refuse('the log that it stands for is not stored without a hole any more');
  }
  const { file, filePosition, lsn } = wanted.endPosition;
  // Log files are cut exactly there; WAL has no such end, and its LSN is a target of its own: all before it, nothing after.
  const target: RecoveryTarget =
    lsn === undefined ? { kind: 'latest' } : { kind: 'position', position: lsn, before: true };
  const cutAt = lsn === undefined && file !== undefined ? { file, offset: Number(filePosition ?? '0') } : null;
  const range = rangeFor(
    input.slices,
    run,
    base,
    { kind: 'position', position: '', before: false },
    wanted.endPosition,
  );
  const end = cutAt === null ? range.end : wanted.endPosition;
  return { backupIds: base.path.map((backup) => backup.id), target, log: { ...range, end, cutAt } };
}

function chooseBase(
  input: PlanInput,
  runs: readonly LogRun[],
  target: RecoveryTarget,
): { base: Base; run: LogRun | null } | null {
  const bases = listBases(input.backups).map((base) => ({ base, run: runOf(base, runs) }));
  switch (target.kind) {
    case 'latest':
    case 'end_of_backup':
      return bases[0] ?? null;
    case 'time': {
      const wanted = Date.parse(target.time);
      const covered = bases.filter(({ run }) => run?.coversTo != null && wanted <= Date.parse(run.coversTo));
      // Times are kept to the millisecond: a backup of the same one may have ended a little later than the point.
      const fits =
        covered.find(({ base }) => Date.parse(base.tip.takenAt) < wanted) ??
        covered.find(({ base }) => Date.parse(base.tip.takenAt) === wanted);
      // A base outside every stretch of log is that one point.
      return fits ?? bases.find(({ base, run }) => run === null && Date.parse(base.tip.takenAt) === wanted) ?? null;
    }
    case 'position': {
      const wanted = parsePosition(target.position);
      // A GTID says nothing of its place in the log: the caller has left out the backups that hold it already.
      if (wanted === null) return bases.find(({ run }) => run !== null) ?? null;
      assertOneHistory(input.slices, runs, wanted);
      return (
        bases.find(
          ({ base, run }) =>
            run !== null &&
            compareLogPositions(base.tip.endPosition, wanted) <= 0 &&
            compareLogPositions(wanted, run.end) <= 0,
        ) ?? null
      );
    }
  }
}

/**
 * An LSN alone names a place on each timeline that has it: where stretches of different timelines do, after a promotion that lost something,
 * nobody but the asker knows which is meant. Throws `position_ambiguous`, naming them.
 */
function assertOneHistory(slices: readonly PlanSlice[], runs: readonly LogRun[], wanted: LogPosition): void {
  const found = new Map<number, LogRun>();
  for (const run of runs) {
    if (compareLogPositions(run.start, wanted) > 0 || compareLogPositions(wanted, run.end) > 0) continue;
    const timeline = timelineAt(slices, run, wanted);
    if (timeline !== null && !found.has(timeline)) found.set(timeline, run);
  }
  if (found.size < 2) return;
  const places = [...found].map(
    ([timeline, { start, end, coversTo }]) =>
      `timeline ${timeline} (stored from ${start.lsn} to ${end.lsn}${coversTo === null ? '' : `, covered up to ${coversTo}`})`,
  );
  throw new TidemarkError('position_ambiguous', `The position ${wanted.lsn} lies on ${places.join(' and on ')}.`);
}

function timelineAt(slices: readonly PlanSlice[], run: LogRun, wanted: LogPosition): number | null {
  const inside = slices.filter(
    ({ epoch, fromSeq, seq }) => epoch === run.epoch && fromSeq >= run.fromSeq && seq <= run.toSeq,
  );
  const slice = inside[Math.min(firstSliceAfter(inside, wanted), inside.length - 1)];
  return slice?.endPosition.timeline ?? null;
}

/** An LSN as a position; null for a GTID. */
export function parsePosition(text: string): LogPosition | null {
  return /^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/.test(text) ? { lsn: text.toUpperCase() } : null;
}

/** Index of the first slice of a run that ends after a position; their number when none does. By halves: a run may have 100,000. */
export function firstSliceAfter(inside: readonly PlanSlice[], position: LogPosition): number {
  let low = 0;
  let high = inside.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const slice = inside[middle];
    if (slice !== undefined && compareLogPositions(slice.endPosition, position) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Index of the slice of a run with which the log begins that a base needs: the beginning of the file in which it starts, as far as that is there. */
export function firstSliceOf(inside: readonly PlanSlice[], { tip }: Base): number {
  // Nothing was written since: the last file is where the log will go on.
  let from = Math.max(0, Math.min(firstSliceAfter(inside, tip.startPosition), inside.length - 1));
  while (from > 0 && inside[from]?.offset !== 0) from -= 1;
  return from;
}

/** The numbers a recovery reads: from the beginning of the file in which the base begins, one slice beyond the point so that it is seen to be passed. */
function rangeFor(
  slices: readonly PlanSlice[],
  run: LogRun,
  base: Base,
  target: RecoveryTarget,
  endPosition: LogPosition | null = null,
): { epoch: number; fromSeq: number; toSeq: number; end: LogPosition } {
  const inside = slices.filter(
    (slice) => slice.epoch === run.epoch && slice.fromSeq >= run.fromSeq && slice.seq <= run.toSeq,
  );
  let from = firstSliceOf(inside, base);
  // A stretch that begins inside a file is of use only from its next file on.
  while (from < inside.length && inside[from]?.offset !== 0) from += 1;
  const stop = stopOf(target, endPosition);
  const reached = inside.findIndex((slice, index) => index >= from && stop(slice));
  const to = reached === -1 ? inside.length - 1 : Math.min(inside.length - 1, reached + 1);
  const head = inside[from];
  const last = inside[to];
  if (head === undefined || last === undefined) {
    throw new TidemarkError(
      'log_gap',
      `The stored log of epoch ${run.epoch} has no file that begins at its beginning.`,
    );
  }
  return { epoch: run.epoch, fromSeq: head.fromSeq, toSeq: last.seq, end: last.endPosition };
}

/**
 * A source whose disk stalls writes a commit's record long after it took the commit's time: a slice may claim to cover that time and not hold
 * it. Reading on for a minute of log costs little, what lies behind the point is refused by the replay, and a commit that is left out is lost.
 */
const STALL_MS = 60_000;

/** Whether a slice is known to hold all that is wanted. */
function stopOf(target: RecoveryTarget, endPosition: LogPosition | null): (slice: PlanSlice) => boolean {
  const wanted = endPosition ?? (target.kind === 'position' ? parsePosition(target.position) : null);
  if (wanted !== null) return (slice) => compareLogPositions(slice.endPosition, wanted) > 0;
  if (target.kind !== 'time') return () => false;
  const time = Date.parse(target.time) + STALL_MS;
  return (slice) => slice.coversTo !== null && Date.parse(slice.coversTo) > time;
}

/** The point, for messages. */
export function pointText(target: RecoveryTarget): string {
  switch (target.kind) {
    case 'time':
      return `The time ${target.time}`;
    case 'position':
      return `The position ${target.position}`;
    case 'latest':
      return 'The latest point';
    case 'end_of_backup':
      return 'The backup';
  }
}
