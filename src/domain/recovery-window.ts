import { compareLogPositions } from './compare-positions.js';
import type { LogPosition } from './positions.js';

/** A completed full or incremental of a chain, as far as it decides what can be recovered. */
export type ChainBackup = {
  readonly id: string;
  readonly kind: 'full' | 'incremental';
  /** Of an incremental: blocks changed since the parent, or the archived log since then (which holds no data of its own). */
  readonly incremental: 'physical' | 'log' | null;
  readonly parentId: string | null;
  /** The log archive's epoch when it was taken; null when nothing archived. */
  readonly epoch: number | null;
  /** Source's clock at `endPosition`, RFC 3339. */
  readonly takenAt: string;
  readonly startPosition: LogPosition;
  readonly endPosition: LogPosition;
  /** It was found damaged in the store: nothing begins with it or is built on it. */
  readonly damaged?: boolean;
  /** Names of the databases that were there when it began; absent: not known. */
  readonly databases?: readonly string[];
};

/** A database whose own window is asked for: it may have come to the server when the chain was there already. */
export type WindowOf = {
  readonly database: string;
  /** It was there by then, RFC 3339. Not by the source's clock, which may differ by a little. */
  readonly since: string | null;
};

/** Stored log without a hole. */
export type LogRun = {
  readonly epoch: number;
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly start: LogPosition;
  readonly end: LogPosition;
  /** Source's clock: everything committed before it is inside; null when that was never established. */
  readonly coversTo: string | null;
};

export type WindowRun = { readonly from: string; readonly to: string };
/** `{from, to}` of the newest unbroken run; `runs` has all, oldest first. */
export type RecoveryWindow = WindowRun & { readonly runs: readonly WindowRun[] };

/** A backup together with all that it is built on, full first. */
export type Base = { readonly tip: ChainBackup; readonly path: readonly ChainBackup[] };

/**
 * The backups from which a recovery can begin: fulls, and physical incrementals of which every ancestor is there, none of them damaged. Newest first. A log
 * incremental holds no data: it is a point of the log that begins at its physical ancestor.
 */
export function listBases(backups: readonly ChainBackup[]): Base[] {
  const byId = new Map(backups.map((backup) => [backup.id, backup]));
  const bases: Base[] = [];
  for (const tip of backups) {
    if (tip.kind === 'incremental' && tip.incremental !== 'physical') continue;
    const path = pathOf(tip, byId);
    if (path !== null && !path.some(({ damaged }) => damaged)) bases.push({ tip, path });
  }
  return bases.sort((a, b) => timeOf(b.tip.takenAt) - timeOf(a.tip.takenAt));
}

/** From the full to `tip` over physical incrementals; null when one is missing. */
export function pathOf(tip: ChainBackup, byId: ReadonlyMap<string, ChainBackup>): ChainBackup[] | null {
  const path: ChainBackup[] = [];
  for (let at: ChainBackup | undefined = tip; at !== undefined; ) {
    if (path.includes(at)) return null;
    path.unshift(at);
    if (at.kind === 'full') return path;
    at = at.parentId === null ? undefined : byId.get(at.parentId);
    // A chain may mix both kinds: what a log incremental stands for is in the log.
    while (at?.kind === 'incremental' && at.incremental === 'log') {
      at = at.parentId === null ? undefined : byId.get(at.parentId);
    }
  }
  return null;
}

/** The run in which the log goes on from where a base ends, if there is one: replay needs all from there. */
export function runOf(base: Base, runs: readonly LogRun[]): LogRun | null {
  const { epoch, endPosition } = base.tip;
  const found = runs.find(
    (run) =>
      run.epoch === epoch &&
      compareLogPositions(run.start, endPosition) <= 0 &&
      compareLogPositions(endPosition, run.end) <= 0,
  );
  return found ?? null;
}

/**
 * The recovery window, from what is stored and nothing else: a run begins at the earliest base that lies in an unbroken stretch of log
 * and ends where that stretch is known to cover everything. A base outside every stretch is a point. Null without any base. Of one database
 * a run begins when it is known to have been there.
 */
export function computeWindow(
  backups: readonly ChainBackup[],
  logRuns: readonly LogRun[],
  of: WindowOf | null = null,
): RecoveryWindow | null {
  const bases = listBases(backups);
  const runs: WindowRun[] = [];
  const add = (inside: readonly Base[], coversTo: string | null) => {
    const times = inside.map((base) => base.tip.takenAt);
    const to = latest([...times, ...(coversTo === null ? [] : [coversTo])]);
    const from = to === null || of === null ? earliest(times) : beginningOf(of, inside, to);
    if (from !== null && to !== null) runs.push({ from, to });
  };
  for (const log of logRuns) {
    const inside = bases.filter((base) => runOf(base, logRuns) === log);
    add(inside, log.coversTo);
  }
  for (const base of bases) if (runOf(base, logRuns) === null) add([base], null);
  runs.sort((a, b) => timeOf(a.to) - timeOf(b.to) || timeOf(a.from) - timeOf(b.from));
  const newest = runs.at(-1);
  if (newest === undefined) return null;
  // Without any log the points together are all there is to say: from the oldest to the newest.
  const from = logRuns.length === 0 ? (earliest(runs.map((run) => run.from)) ?? newest.from) : newest.from;
  return { from, to: newest.to, runs };
}

/** The first moment of a run that is known to have the database: a base that has it, or when it joined. Null: none is. */
function beginningOf({ database, since }: WindowOf, inside: readonly Base[], to: string): string | null {
  const held = inside.filter(({ tip }) => tip.databases?.includes(database) !== false).map(({ tip }) => tip.takenAt);
  const first = earliest(inside.map(({ tip }) => tip.takenAt));
  // What was there before a base ended is in it, or in the log behind it.
  const joined =
    since === null || first === null || timeOf(since) > timeOf(to) ? [] : [latest([since, first]) ?? first];
  return earliest([...held, ...joined]);
}

/** `from … to`, for messages; several runs are joined. */
export function windowText(window: RecoveryWindow | null): string {
  if (window === null) return 'nothing is restorable yet';
  const parts = window.runs.slice(-5).map(({ from, to }) => (from === to ? from : `${from} to ${to}`));
  return parts.join(', ');
}

const timeOf = (text: string) => Date.parse(text);
const earliest = (times: readonly string[]) => pick(times, (a, b) => timeOf(a) < timeOf(b));
const latest = (times: readonly string[]) => pick(times, (a, b) => timeOf(a) > timeOf(b));

function pick(times: readonly string[], better: (a: string, b: string) => boolean): string | null {
  return times.reduce<string | null>((best, time) => (best === null || better(time, best) ? time : best), null);
}
