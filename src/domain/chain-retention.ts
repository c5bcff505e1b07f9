import { compareLogPositions } from './compare-positions.js';
import type { PlanInput, PlanSlice } from './recovery-plan.js';
import { firstSliceAfter, firstSliceOf, groupRuns } from './recovery-plan.js';
import type { Base, ChainBackup, LogRun } from './recovery-window.js';
import { listBases, pathOf, runOf } from './recovery-window.js';

/** A policy's retention: fulls by number, incrementals by age in days, log by age in hours. */
export type RetentionRules = {
  readonly fulls: number;
  readonly incrementalDays: number;
  readonly pitrHours: number;
};

export type RetainedSlice = PlanSlice & { readonly id: string; readonly storedBytes: number };

/** What somebody reads just now, or is about to: nothing of it goes, nor anything that it is built on. */
export type RetentionPins = {
  readonly backupIds: readonly string[];
  readonly logs: readonly { readonly epoch: number; readonly fromSeq: number; readonly toSeq: number }[];
};

export type RetentionInput = {
  /** Completed and not being deleted. */
  readonly backups: readonly ChainBackup[];
  /** Live slices that nothing replaces, in order of epoch and number. */
  readonly slices: readonly RetainedSlice[];
  readonly present: PlanInput['present'];
  /** Does the policy want points in time? */
  readonly pitr: boolean;
  readonly rules: RetentionRules;
  readonly pins: RetentionPins;
  readonly now: Date;
};

export type RetentionDecision = {
  /** Dependents before what they are built on. */
  readonly deleteBackups: readonly string[];
  /** Oldest first. */
  readonly deleteSlices: readonly string[];
  /** Why each deleted backup goes, by its id. */
  readonly reasons: Readonly<Record<string, string>>;
  /** Why each kept backup stays, by its id. */
  readonly keptBecause: Readonly<Record<string, string>>;
  /** Points from here on are promised: the beginning of the last `pitrHours`. */
  readonly promisedFrom: string;
};

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/**
 * What of a chain goes, and why; everything that is kept stays restorable. The rules, in the order in which they win:
 *
 * 1. What a running restore reads, what a run is being built on, and the newest full stay.
 * 2. The promised window stays whole. It reaches back `pitrHours` from now; while PITR is on but the log does not come any further, from
 *    where it has come to: a source that is silent over a weekend loses nothing by it. Of each unbroken stretch of log that reaches into
 *    the window, the newest base (full or physical incremental, with all it is built on) from before it stays, and the log from that base
 *    on; where there is none, the oldest base of the stretch. While PITR is on, fulls inside the window stay as well, whatever their
 *    number: without one of them growing old enough to begin the window, the oldest would never be let go.
 * 3. Of the other fulls the newest `fulls` stay. A full that goes takes everything that is built on it.
 * 4. An incremental goes at the age of `incrementalDays`, but only once nothing that stays is built on it: a chain is cut from its end.
 * 5. Log goes at the age of `pitrHours`, except what rule 2 holds and what a kept log incremental stands for: all from the full it is
 *    built on. Older fulls and physical incrementals carry the log they need themselves. The newest slice of the present epoch stays,
 *    because the next one names it.
 * 6. Log goes at any age when nothing that stays comes before it: the full that needed it was deleted. Not that of the present epoch
 *    before its first full, which is on its way.
 */
export function decideRetention(input: RetentionInput): RetentionDecision {
  const { backups, slices, rules, now } = input;
  const runs = groupRuns(slices, input.present);
  const promisedFrom = beginOfPromise(runs, input);
  const bases = listBases(backups);
  const promised = runs.filter(({ coversTo }) => coversTo === null || timeOf(coversTo) >= promisedFrom);
  const anchors = promised.flatMap((run) => findAnchor(bases, runs, run, promisedFrom));

  const decided = new Decided(backups);
  for (const id of input.pins.backupIds) decided.keep(id, 'a run or a restore needs it now');
  const fulls = backups.filter(({ kind }) => kind === 'full').sort(newestFirst);
  // One that is damaged counts for nothing: it stays until as many newer ones are good, because the store may give it back.
  let good = 0;
  for (const full of fulls) {
    if (good >= rules.fulls) break;
    const isFirst = good === 0 && !full.damaged;
    decided.keep(full.id, isFirst ? 'the newest full always stays' : `one of the newest ${rules.fulls} fulls`);
    if (!full.damaged) good += 1;
  }
  for (const { base } of anchors) {
    decided.keep(base.tip.id, `the promised window of ${rules.pitrHours} hours begins with it`);
  }
  if (input.pitr) {
    for (const full of fulls) {
      const run = runOf({ tip: full, path: [full] }, runs);
      if (run === null || !promised.includes(run) || timeOf(full.takenAt) < promisedFrom) continue;
      decided.keep(full.id, `it lies in the promised window of ${rules.pitrHours} hours`);
    }
  }
  for (const full of fulls) decided.drop(full.id, `there are ${rules.fulls} newer fulls`);

  const expired = now.getTime() - rules.incrementalDays * DAY_MS;
  // Newest first: whatever is built on one of them has been decided before.
  for (const one of backups.filter(({ kind }) => kind === 'incremental').sort(newestFirst)) {
    const root = decided.rootOf(one);
    if (root === null) decided.drop(one.id, 'a backup that it is built on is gone');
    else if (!decided.isKept(root.id)) decided.drop(one.id, `its full ${root.id} goes`);
    else if (timeOf(one.takenAt) >= expired) decided.keep(one.id, `it is younger than ${rules.incrementalDays} days`);
    else decided.drop(one.id, `it is older than ${rules.incrementalDays} days and nothing that stays is built on it`);
  }
  return {
    ...decided.result(),
    deleteSlices: selectSlices(input, runs, { promisedFrom, anchors, isKept: (id) => decided.isKept(id) }),
    promisedFrom: new Date(promisedFrom).toISOString(),
  };
}

const timeOf = (text: string) => Date.parse(text);
const newestFirst = (a: ChainBackup, b: ChainBackup) =>
  timeOf(b.takenAt) - timeOf(a.takenAt) || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);

function beginOfPromise(runs: readonly LogRun[], { pitr, rules, now }: RetentionInput): number {
  const covered = runs.flatMap(({ coversTo }) => (coversTo === null ? [] : [timeOf(coversTo)]));
  const end = pitr && covered.length > 0 ? Math.min(now.getTime(), Math.max(...covered)) : now.getTime();
  return end - rules.pitrHours * HOUR_MS;
}

type Anchor = { readonly base: Base; readonly run: LogRun };

/** The base with which the promised part of a stretch begins. `bases` are newest first. */
function findAnchor(bases: readonly Base[], runs: readonly LogRun[], run: LogRun, promisedFrom: number): Anchor[] {
  const inside = bases.filter((base) => runOf(base, runs) === run);
  const base = inside.find(({ tip }) => timeOf(tip.takenAt) <= promisedFrom) ?? inside.at(-1);
  return base === undefined ? [] : [{ base, run }];
}

/** Which backups stay and which go, with the first reason given. Keeping one keeps all it is built on. */
class Decided {
  private readonly byId: ReadonlyMap<string, ChainBackup>;
  private readonly kept = new Map<string, string>();
  private readonly dropped = new Map<string, string>();

  constructor(backups: readonly ChainBackup[]) {
    this.byId = new Map(backups.map((backup) => [backup.id, backup]));
  }

  isKept(id: string): boolean {
    return this.kept.has(id);
  }

  keep(id: string, because: string): void {
    let reason = because;
    for (let at = this.byId.get(id); at !== undefined && !this.kept.has(at.id); at = this.parentOf(at)) {
      this.kept.set(at.id, reason);
      this.dropped.delete(at.id);
      reason = `${id} is built on it`;
    }
  }

  /** No effect on what stays. */
  drop(id: string, because: string): void {
    if (!this.kept.has(id) && !this.dropped.has(id)) this.dropped.set(id, because);
  }

  /** The full at the beginning of all that an incremental is built on; null when something between is gone. */
  rootOf(one: ChainBackup): ChainBackup | null {
    const seen = new Set<string>();
    for (let at: ChainBackup | undefined = one; at !== undefined && !seen.has(at.id); at = this.parentOf(at)) {
      if (at.kind === 'full') return at;
      seen.add(at.id);
    }
    return null;
  }

  result() {
    const dropped = [...this.dropped.keys()].flatMap((id) => this.byId.get(id) ?? []);
    return {
      deleteBackups: dropped.sort(newestFirst).map(({ id }) => id),
      reasons: Object.fromEntries(this.dropped),
      keptBecause: Object.fromEntries(this.kept),
    };
  }

  private parentOf(one: ChainBackup): ChainBackup | undefined {
    return one.parentId === null ? undefined : this.byId.get(one.parentId);
  }
}

/** Slices that are old enough and that nothing kept needs. */
function selectSlices(
  { backups, slices, pins, present }: RetentionInput,
  runs: readonly LogRun[],
  decided: {
    readonly promisedFrom: number;
    readonly anchors: readonly Anchor[];
    readonly isKept: (id: string) => boolean;
  },
): string[] {
  const standsFor = logOfIncrementals(backups.filter(({ id }) => decided.isKept(id)));
  const doomed: string[] = [];
  const usefulFrom = findUseful(backups, slices, { present, isKept: decided.isKept });
  for (const run of runs) {
    const inside = slices.filter(
      ({ epoch, fromSeq, seq }) => epoch === run.epoch && fromSeq >= run.fromSeq && seq <= run.toSeq,
    );
    // From each index on to the other one, inclusive.
    const needed = [
      ...decided.anchors
        .filter((anchor) => anchor.run === run)
        .map(({ base }) => ({ from: firstSliceOf(inside, base), to: inside.length - 1 })),
      ...standsFor.flatMap(({ base, to }) => {
        if (runOf(base, runs) !== run) return [];
        // One more than holds the end, so that it is seen to be passed.
        return [{ from: firstSliceOf(inside, base), to: firstSliceAfter(inside, to) + 1 }];
      }),
    ];
    const times = coveredTimes(inside, run);
    inside.forEach(({ id, epoch, fromSeq, seq }, index) => {
      const time = times[index] ?? null;
      const isOld = time !== null && time < decided.promisedFrom;
      const isUseless = seq < (usefulFrom.get(epoch) ?? 0);
      const isNeeded = needed.some(({ from, to }) => from <= index && index <= to);
      const isPinned = pins.logs.some((log) => log.epoch === epoch && log.fromSeq <= seq && fromSeq <= log.toSeq);
      const isNewest = epoch === present?.epoch && run === runs.at(-1) && index === inside.length - 1;
      if ((isOld || isUseless) && !isNeeded && !isPinned && !isNewest) doomed.push(id);
    });
  }
  return doomed;
}

/**
 * For each epoch, the number of the slice with which the first of its bases that stay begins. A damaged one counts: the store may give it
 * back. An old epoch without any is of no use at all.
 */
function findUseful(
  backups: readonly ChainBackup[],
  slices: readonly RetainedSlice[],
  { present, isKept }: { present: PlanInput['present']; isKept: (id: string) => boolean },
): Map<number, number> {
  const bases = listBases(backups.filter(({ id }) => isKept(id)).map((one) => ({ ...one, damaged: false })));
  const useful = new Map<number, number>();
  for (const epoch of new Set(slices.map((slice) => slice.epoch))) {
    const inside = slices.filter((slice) => slice.epoch === epoch);
    const begins = bases
      .filter(({ tip }) => tip.epoch === epoch)
      .map((base) => inside[firstSliceOf(inside, base)]?.fromSeq ?? 0);
    if (begins.length > 0) useful.set(epoch, Math.min(...begins));
    else if (present !== null && epoch !== present.epoch) useful.set(epoch, Number.POSITIVE_INFINITY);
  }
  return useful;
}

/** For each base, the furthest end of the log incrementals that are built on it. */
function logOfIncrementals(kept: readonly ChainBackup[]): { base: Base; to: ChainBackup['endPosition'] }[] {
  const byId = new Map(kept.map((backup) => [backup.id, backup]));
  const found = new Map<string, { base: Base; to: ChainBackup['endPosition'] }>();
  for (const one of kept) {
    if (one.incremental !== 'log') continue;
    const path = pathOf(one, byId)?.filter((backup) => backup !== one) ?? [];
    const tip = path.at(-1);
    if (tip === undefined) continue;
    const before = found.get(tip.id);
    if (before !== undefined && compareLogPositions(before.to, one.endPosition) >= 0) continue;
    found.set(tip.id, { base: { tip, path }, to: one.endPosition });
  }
  return [...found.values()];
}

/** Up to which time each slice of a run covers; one that does not say is taken to reach as far as the next one that does. Null: unknown. */
function coveredTimes(inside: readonly RetainedSlice[], run: LogRun): (number | null)[] {
  const times: (number | null)[] = [];
  let time = run.coversTo === null ? null : timeOf(run.coversTo);
  for (let index = inside.length - 1; index >= 0; index -= 1) {
    const own = inside[index]?.coversTo ?? null;
    if (own !== null) time = timeOf(own);
    times[index] = time;
  }
  return times;
}
