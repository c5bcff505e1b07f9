/**
 * What a source's own log says, read by the engine's own tool from the source's own files: the other account, beside the application's, against
 * which a recovered moment is judged. Nothing of Tidemark's reading of logs is used.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config.js';
import { engineBinDir, engineRoot } from '../../../src/platform/installed.js';
import { runChild } from '../../../src/platform/run-child.js';
import { withSql } from '../sql.js';
import type { Source } from '../world.js';

/** A transaction, in the order of the log. */
export type LogEntry = {
  /** GTID; LSN at which the commit's record begins. */
  readonly position: string;
  /** Commit time in microseconds since 1970; whole seconds on MariaDB. */
  readonly at: bigint;
  /** Number of the application's transaction; null when it is another's. */
  readonly n: number | null;
};

/** The stretch that is read: between two of the application's commits. */
export type Stretch = {
  readonly from: { readonly n: number; readonly ms: number; readonly mark: string | null };
  readonly to: { readonly n: number; readonly ms: number; readonly mark: string | null };
};

const MOST_OUTPUT = 512 * 1024 * 1024;

export async function readSourceLog(source: Source, database: string, stretch: Stretch): Promise<LogEntry[]> {
  return source.account.engine === 'postgresql'
    ? await readWal(source, database, stretch)
    : await readBinlog(source, database, stretch);
}

/** Where the server puts a copy of each full segment: its own folder forgets them as soon as no slot holds them. */
export function walCopies(dataDir: string): string {
  return join(dataDir, 'wal-copies');
}

const SEGMENT = 16n * 1024n * 1024n;

async function readWal({ product, server, account }: Source, database: string, { from, to }: Stretch) {
  if (from.mark === null || to.mark === null) throw new Error('no LSN is known there');
  const dir = mkdtempSync(join(server.dataDir, 'look-'));
  try {
    for (let at = lsnOf(from.mark) / SEGMENT; at <= lsnOf(to.mark) / SEGMENT; at += 1n) {
      const name = `00000001${hex(at / 256n)}${hex(at % 256n)}`;
      const copy = join(walCopies(server.dataDir), name);
      symlinkSync(existsSync(copy) ? copy : join(server.engineDataDir, 'pg_wal', name), join(dir, name));
    }
    const text = await runTool(product, 'pg_waldump', [
      ...['--path', dir, '--start', from.mark, '--end', to.mark, '--rmgr', 'Transaction'],
    ]);
    const rows = await withSql(account, database, (sql) =>
      sql.query<{ n: string; xid: string }>('select n, xmin::text as xid from audit where n between ? and ?', [
        from.n,
        to.n + 1,
      ]),
    );
    const numbers = new Map(rows.map(({ n, xid }) => [xid, Number(n)]));
    const entries: LogEntry[] = [];
    const record = /tx:\s+(\d+), lsn: ([0-9A-F/]+), .*desc: (?:COMMIT|ABORT) (\S+ \d\d:\d\d:\d\d)\.?(\d*) UTC/;
    for (const line of text.split('\n')) {
      const [, xid = '', position = '', seconds = '', fraction = ''] = record.exec(line) ?? [];
      if (position === '') continue;
      const at = BigInt(Date.parse(`${seconds.replace(' ', 'T')}Z`)) * 1000n + BigInt(fraction.padEnd(6, '0'));
      entries.push({ position, at, n: numbers.get(xid) ?? null });
    }
    return entries;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const hex = (value: bigint) => value.toString(16).toUpperCase().padStart(8, '0');

function lsnOf(text: string): bigint {
  const [high = '0', low = '0'] = text.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** The time in a header is that of a statement's begin, and has whole seconds. */
const MARGIN_MS = 3_000;

async function readBinlog({ product, server }: Source, database: string, { from, to }: Stretch): Promise<LogEntry[]> {
  const start = from.ms - MARGIN_MS;
  const stop = to.ms + MARGIN_MS;
  const files = readdirSync(server.engineDataDir)
    .filter((name) => /^binlog\.\d+$/.test(name))
    .sort()
    .map((name) => join(server.engineDataDir, name));
  const first = files.findIndex((path) => statSync(path).mtimeMs >= start);
  const end = files.findIndex((path) => statSync(path).mtimeMs >= stop + MARGIN_MS);
  const chosen = files.slice(Math.max(0, first), end < 0 ? undefined : end + 1);
  const text = await runTool(product, product === 'mysql' ? 'mysqlbinlog' : 'mariadb-binlog', [
    '--no-defaults',
    '--base64-output=DECODE-ROWS',
    '--verbose',
    `--start-datetime=${clock(start)}`,
    `--stop-datetime=${clock(stop)}`,
    ...chosen,
  ]);
  return product === 'mysql' ? parseMysql(text, database) : parseMariadb(text, database);
}

const clock = (ms: number) => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');

function parseMysql(text: string, database: string): LogEntry[] {
  let at: bigint | null = null;
  return parseRows(text, database, (line) => {
    const time = /immediate_commit_timestamp=(\d+)/.exec(line)?.[1];
    if (time !== undefined) at = BigInt(time);
    const position = /^SET @@SESSION\.GTID_NEXT= '([0-9a-f-]+:\d+)'/.exec(line)?.[1];
    return position === undefined || at === null ? null : { position, at };
  });
}

function parseMariadb(text: string, database: string): LogEntry[] {
  return parseRows(text, database, (line) => {
    const [, date, time, position] = /^#(\d{6})\s+(\d+:\d\d:\d\d) server id .*\tGTID (\d+-\d+-\d+)/.exec(line) ?? [];
    if (date === undefined || time === undefined || position === undefined) return null;
    const day = `20${date.slice(0, 2)}-${date.slice(2, 4)}-${date.slice(4)}`;
    return { position, at: BigInt(Date.parse(`${day}T${time.padStart(8, '0')}Z`)) * 1000n };
  });
}

/** Each transaction with the number of the row that it puts into the ledger. */
function parseRows(
  text: string,
  database: string,
  begins: (line: string) => { position: string; at: bigint } | null,
): LogEntry[] {
  const entries: { position: string; at: bigint; n: number | null }[] = [];
  const insert = `### INSERT INTO \`${database}\`.\`ledger\``;
  let inLedger = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('### ')) {
      if (line === insert) inLedger = true;
      else if (inLedger && line.startsWith('###   @1=')) {
        const entry = entries.at(-1);
        if (entry !== undefined) entry.n = Number.parseInt(line.slice(9), 10);
        inLedger = false;
      }
      continue;
    }
    const found = begins(line);
    if (found !== null) entries.push({ ...found, n: null });
  }
  return entries;
}

async function runTool(product: Source['product'], name: string, args: readonly string[]): Promise<string> {
  const root = engineRoot(product, loadConfig().install);
  if (root === null) throw new Error(`${product} is not installed`);
  const result = await runChild({
    command: join(engineBinDir(product, root), name),
    args,
    env: { TZ: 'UTC', LC_ALL: 'C' },
    label: name,
    maxStdoutBytes: MOST_OUTPUT,
  });
  // The newest file is being written: its end may be the middle of something.
  if (result.code !== 0 && result.stdout === '') throw new Error(`${name} ended with ${result.code}: ${result.stderr}`);
  return result.stdout;
}

export function makeWalCopies(dataDir: string): void {
  mkdirSync(walCopies(dataDir), { recursive: true });
}
