import type { Ledger } from '../ledger.js';
import type { Account } from '../sql.js';
import type { AnsweredCommit, Writer } from '../writer.js';
import { startWriter } from '../writer.js';

/** A commit with the end of the source's log right after it (PostgreSQL); null where that could not be asked any more. */
export type Commit = AnsweredCommit & { readonly mark: string | null };

/** An application that writes, and remembers when each of its transactions was committed. */
export type Application = {
  readonly writer: Writer;
  /** In order, without holes. */
  readonly commits: readonly Commit[];
};

export function startApplication(options: {
  account: Account;
  database: string;
  ledger: Ledger;
  pauseMs: number;
}): Application {
  const commits: Commit[] = [];
  const postgres = options.account.engine === 'postgresql';
  const writer = startWriter({
    ...options,
    async onCommit(commit, sql) {
      commits.push({ ...commit, mark: null });
      if (!postgres) return;
      const [row] = await sql.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
      commits[commits.length - 1] = { ...commit, mark: row?.lsn ?? null };
    },
  });
  return { writer, commits };
}

/** Number of the last transaction that was surely committed at this moment, and of the last one that may have been. */
export function committedAt(commits: readonly Commit[], ms: number): { readonly least: number; readonly most: number } {
  const last = (yes: (commit: Commit) => boolean) => commits.findLast(yes)?.n ?? 0;
  return { least: last(({ to }) => to <= ms), most: last(({ from }) => from <= ms) };
}
