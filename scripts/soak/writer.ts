import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from './ledger.js';
import { readState, runStep } from './ledger.js';
import type { Account, Sql } from './sql.js';
import { openSql } from './sql.js';

/** The database was replaced under the application: it stood at `from` (or at `maybe`, when that commit was not answered), then at `to`. */
export type Jump = { readonly from: number; readonly maybe: number | null; readonly to: number };

/** The application's own account of what it did. */
export type Writer = {
  /** Last transaction that the server acknowledged, or that was found committed afterwards. */
  readonly acknowledged: number;
  /** Last one that was sent. */
  readonly sent: number;
  readonly jumps: readonly Jump[];
  /** Longest statement sequence of one transaction so far, in ms, of those that met no error; `resetSlowest` starts over. */
  readonly slowestMs: number;
  resetSlowest(): void;
  /** Resolves after the next acknowledged commit; throws when there is none in time. */
  untilCommit(withinMs: number): Promise<void>;
  /** Ends after the present transaction, whose result is known then. */
  stop(): Promise<void>;
};

export type WriterOptions = {
  readonly account: Account;
  readonly database: string;
  readonly ledger: Ledger;
  /** Between two transactions, in ms. */
  readonly pauseMs: number;
  /** After each acknowledged commit, and after one that was found when its answer had been lost; before the next one is sent. */
  readonly onCommit?: (commit: AnsweredCommit, sql: Sql) => Promise<void>;
};

/** Transaction `n` was committed between these two moments, both in ms since 1970. */
export type AnsweredCommit = { readonly n: number; readonly from: number; readonly to: number };

/** An application that goes on writing, and connects again when it is thrown out. */
export function startWriter({ account, database, ledger, pauseMs, onCommit }: WriterOptions): Writer {
  let stopping = false;
  let acknowledged = -1;
  let sent = -1;
  let commits = 0;
  let inDoubt: number | null = null;
  let slowest = 0;
  let sentAt = 0;
  let lastError = '';
  const jumps: Jump[] = [];

  const compare = (found: number) => {
    if (acknowledged < 0) sent = acknowledged = found;
    else if (found === inDoubt) acknowledged = found;
    else if (found !== acknowledged) {
      jumps.push({ from: acknowledged, maybe: inDoubt, to: found });
      sent = acknowledged = found;
    }
    inDoubt = null;
  };

  const loop = async () => {
    let sql: Sql | null = null;
    let known = false;
    while (!stopping || !known) {
      try {
        sql ??= await openSql(account, database);
        if (!known) {
          const found = await readState(sql);
          const doubted = inDoubt;
          compare(found);
          known = true;
          if (doubted === found) await onCommit?.({ n: found, from: sentAt, to: Date.now() }, sql);
          continue;
        }
        const next = acknowledged + 1;
        const started = performance.now();
        sentAt = Date.now();
        sent = Math.max(sent, next);
        inDoubt = next;
        if (await runStep(sql, ledger, next)) {
          acknowledged = next;
          inDoubt = null;
          commits += 1;
          slowest = Math.max(slowest, performance.now() - started);
          await onCommit?.({ n: next, from: sentAt, to: Date.now() }, sql);
        } else {
          inDoubt = null;
          known = false;
        }
        await sleep(pauseMs);
      } catch (error) {
        lastError = error instanceof Error ? error.message : String(error);
        known = false;
        sql?.destroy();
        sql = null;
        await sleep(100);
      }
    }
    await sql?.close().catch(() => {});
  };
  const done = loop();

  return {
    get acknowledged() {
      return acknowledged;
    },
    get sent() {
      return sent;
    },
    get jumps() {
      return jumps;
    },
    get slowestMs() {
      return slowest;
    },
    resetSlowest() {
      slowest = 0;
    },
    async untilCommit(withinMs) {
      const before = commits;
      const giveUpAt = Date.now() + withinMs;
      while (commits === before) {
        if (Date.now() > giveUpAt)
          throw new Error(`the application could not write for ${withinMs / 1000} s; last error: ${lastError}`);
        await sleep(20);
      }
    },
    async stop() {
      stopping = true;
      let late: NodeJS.Timeout | undefined;
      const tooLate = new Promise<never>((_, reject) => {
        late = setTimeout(
          () => reject(new Error(`the application could not find out its state; last error: ${lastError}`)),
          90_000,
        );
      });
      try {
        await Promise.race([done, tooLate]);
      } finally {
        clearTimeout(late);
      }
    },
  };
}
