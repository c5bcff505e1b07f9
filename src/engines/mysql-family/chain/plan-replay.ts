import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import type { LogPosition } from '../../../domain/positions.js';
import type { StopPoint } from '../../../domain/recovery-target.js';
import { takeoverOf } from '../../../domain/takeover-files.js';
import type { FetchedOptions, RecoverableBackup } from '../../chain-engine.js';
import { fromMicros, toMicros } from '../../shared/microseconds.js';
import type { FileJoin, LogState } from '../binlog/log-state.js';
import { openLogState } from '../binlog/log-state.js';
import type { BinlogEnd } from '../binlog/read-transactions.js';
import { readTransactions } from '../binlog/read-transactions.js';
import type { BinlogTransaction } from '../binlog/scan-binlog.js';
import type { Brand } from '../brand.js';
import { FROM_REPLICA } from './cluster-facts.js';

/** A log file as far as it is to be applied. */
export type ReplayFile = {
  readonly name: string;
  /** To here. */
  readonly bytes: number;
  /** But for this part, which repeats what lies in files before: the log of a server that took over begins before its predecessor's ended. */
  readonly skip: { readonly from: number; readonly to: number } | null;
};

/** What a sandbox is to apply: decided from the files before a server sees them. */
export type ReplayPlan = {
  /** In order; empty when there is nothing to apply. */
  readonly files: readonly ReplayFile[];
  /** Offset in the first file at which the first transaction begins that the backup does not hold. */
  readonly start: number;
  /** Transactions to apply. */
  readonly count: number;
  /** MySQL: the set of transactions to apply. MariaDB: empty. */
  readonly wanted: string;
  /** Where the server must stand afterwards, as it prints it. */
  readonly expected: string;
  readonly lastApplied: StopPoint | null;
  readonly firstRefused: StopPoint | null;
  /** CREATE and ALTER EVENT among them, in order. */
  readonly eventStatements: readonly { readonly database: string; readonly text: string }[];
};

const incomplete = (message: string) => new TidemarkError('recovery_incomplete', message);
const outside = (message: string) => new TidemarkError('outside_window', message);

const stopPoint = (transaction: BinlogTransaction): StopPoint => ({
  position: transaction.gtid,
  at: fromMicros(transaction.commitTimeMicros),
});

type Judge = {
  refuses(transaction: BinlogTransaction): boolean;
  /** After the last one: why the target was never met, or null. */
  missed?(): string | null;
};

/** Decides for one transaction after another whether it is still wanted. */
function judge(brand: Brand, options: FetchedOptions, base: LogPosition, takenAt: string | null): Judge {
  const { target } = options;
  if (target.kind === 'time') {
    const { micros, exact } = toMicros(target.time);
    const before = target.before && exact;
    // What a log of whole seconds tells of the second in which the backup was taken holds for the backup too.
    const unit = brand.kind === 'mariadb' ? 1_000_000n : 1n;
    const taken = takenAt === null ? 0n : toMicros(takenAt).micros;
    const earliest = taken - (taken % unit);
    if (micros < earliest || (before && unit > 1n && micros === earliest))
      throw outside(`${target.time} lies before the end of the backup (${takenAt}); an earlier backup is needed.`);
    return {
      refuses: (one: BinlogTransaction) => (before ? one.commitTimeMicros >= micros : one.commitTimeMicros > micros),
    };
  }
  if (target.kind === 'position') {
    const wanted = target.position.trim().toLowerCase();
    let found = false;
    const held = openLogState(brand.kind, base.gtidSet ?? '');
    let inBackup: boolean;
    try {
      inBackup = held.holds(wanted);
    } catch {
      throw new TidemarkError('invalid_request', `${JSON.stringify(target.position)} is not a GTID of ${brand.title}.`);
    }
    if (inBackup)
      throw outside(`${target.position} lies before the end of the backup; an earlier backup is needed, or its end.`);
    return {
      refuses: (one: BinlogTransaction) => {
        if (found) return true;
        found = one.gtid === wanted;
        return found && target.before;
      },
      missed: () => (found ? null : `${target.position} is not in the stored log.`),
    };
  }
  return { refuses: () => false };
}

/**
 * Reads the log files from the backup's position on and decides what a replay applies: everything before the target, nothing after it.
 * Each file must begin where those before it ended, by what its server wrote at its start. Throws `recovery_incomplete` at a hole, or when
 * the log ends before `logEnd`; `outside_window` for a target before the backup or behind the log.
 */
export async function planReplay(
  brand: Brand,
  options: FetchedOptions,
  full: Pick<RecoverableBackup, 'endPosition' | 'cluster'>,
  takenAt: string | null,
): Promise<ReplayPlan> {
  const base = full.endPosition;
  const state = openLogState(brand.kind, base.gtidSet ?? '');
  const decision = judge(brand, options, base, takenAt);
  // A promoted server has files of other names: then all are read, and what the backup holds is passed over by its GTIDs.
  const at = options.logFiles.findIndex((file) => file.name === base.file);
  const from = Math.max(at, 0);
  const byOffset = brand.kind === 'mariadb' && at >= 0 && full.cluster[FROM_REPLICA] === undefined;
  const baseOffset = Number(base.filePosition ?? 4);
  const files: ReplayFile[] = [];
  const events: { database: string; text: string }[] = [];
  let start: { file: string; offset: number } | null = null;
  let last: BinlogTransaction | null = null;
  let refused: BinlogTransaction | null = null;
  let count = 0;
  /** In the log of a server that took over, before the first transaction that its predecessor's did not hold. */
  let isJoining = false;
  const rest = options.logFiles.slice(from);
  for (const [index, file] of rest.entries()) {
    const kept: { bytes: number; skip: ReplayFile['skip'] } = { bytes: 0, skip: null };
    const isTakeover = index > 0 && takeoverOf(file.name) !== takeoverOf(rest[index - 1]?.name);
    const join = isTakeover ? 'takeover' : index === 0 ? 'first' : 'next';
    isJoining ||= isTakeover;
    const reading = readFile(brand, options.logDir, file.name);
    let joined = false;
    let step = await reading.next();
    for (; !step.done; step = await reading.next()) {
      const { transaction, previous, list } = step.value;
      if (!joined) {
        joined = true;
        requireJoin(state, file.name, previous, list, join);
      }
      // In MariaDB numbers of a domain need not rise: in the backup's own files its offset decides.
      const held =
        byOffset && !isJoining ? index === 0 && transaction.start < baseOffset : state.isHeld(transaction.gtid);
      if (held) {
        // MariaDB's replay applies everything from its first transaction on.
        if (isJoining && count > 0) kept.skip = { from: kept.skip?.from ?? transaction.start, to: transaction.end };
        else if (brand.kind === 'mariadb' && count > 0)
          throw incomplete(`${transaction.gtid} is in the backup, and comes after transactions that are not.`);
        state.pass(transaction.gtid);
        continue;
      }
      if (count === 0) requireBase(state, file.name);
      if (decision.refuses(transaction)) {
        refused = transaction;
        break;
      }
      state.apply(transaction.gtid);
      isJoining = false;
      start ??= { file: file.name, offset: transaction.start };
      if (transaction.eventStatement) events.push(transaction.eventStatement);
      count += 1;
      last = transaction;
      kept.bytes = transaction.end;
    }
    if (refused === null) {
      const end = step.done ? step.value : null;
      if (end === null) throw new Error('unreachable');
      if (!joined) requireJoin(state, file.name, end.previous, end.previousList, join);
      kept.bytes = end.lastCompleteEnd;
    }
    files.push({ name: file.name, ...kept });
    if (refused !== null) break;
  }
  const missed = decision.missed?.();
  if (missed) throw outside(missed);
  if (refused === null) requireEnd(brand, options, state, files);
  const first = start === null ? -1 : files.findIndex((file) => file.name === start?.file);
  const until = last === null ? -1 : files.findIndex((file) => file.name === last?.file);
  return {
    files:
      first < 0
        ? []
        : files
            .slice(first, until + 1)
            .map((file, index) => ({ ...file, ...(first + index === until ? { bytes: last?.end ?? 0 } : {}) })),
    start: start?.offset ?? 0,
    count,
    wanted: state.applied(),
    expected: state.position(),
    lastApplied: last === null ? null : stopPoint(last),
    firstRefused: refused === null ? null : stopPoint(refused),
    eventStatements: events,
  };
}

type Step = {
  readonly transaction: BinlogTransaction;
  readonly previous: string | null;
  readonly list: readonly string[];
};

async function* readFile(brand: Brand, dir: string, name: string): AsyncGenerator<Step, BinlogEnd> {
  const stream = createReadStream(join(dir, name), { highWaterMark: 1024 * 1024 });
  const found: { previous: string | null; previousList: readonly string[] } = { previous: null, previousList: [] };
  const reading = readTransactions(stream, { kind: brand.kind, file: name }, (scanner) => {
    found.previous = scanner.previous;
    found.previousList = scanner.previousList;
  });
  try {
    for (;;) {
      const step = await reading.next();
      if (step.done) return step.value;
      yield { transaction: step.value, previous: found.previous, list: found.previousList };
    }
  } catch (error) {
    throw incomplete(`The stored log cannot be read: ${(error as Error).message}`);
  } finally {
    stream.destroy();
  }
}

function requireJoin(
  state: LogState,
  file: string,
  previous: string | null,
  list: readonly string[],
  join: FileJoin,
): void {
  const hole = state.join(previous, list, join);
  if (hole !== null) throw incomplete(`The log has a hole before ${file}: ${hole}`);
}

/** Files of the right names may belong to another log: this one must hold, or follow, what the backup ends with. */
function requireBase(state: LogState, file: string): void {
  const unseen = state.unseen();
  if (unseen !== null)
    throw incomplete(`${file} does not continue where the backup ends: ${unseen} is not in the log before it.`);
}

/** Without a first refused transaction the log must reach as far as it was proven to. */
function requireEnd(
  brand: Brand,
  options: FetchedOptions,
  state: LogState,
  files: readonly { readonly name: string; readonly bytes: number }[],
): void {
  const { logEnd } = options;
  if (logEnd === null) return;
  if (logEnd.gtidSet !== undefined) {
    const missing = state.missing(logEnd.gtidSet);
    if (missing === null) return;
    throw incomplete(`The log ends before ${missing}, up to which it should be stored.`);
  }
  const file = files.find(({ name }) => name === logEnd.file);
  if (file === undefined || file.bytes < Number(logEnd.filePosition ?? 0))
    throw incomplete(
      `The log of ${brand.title} ends before ${logEnd.file}:${logEnd.filePosition}, up to which it should be stored.`,
    );
}
