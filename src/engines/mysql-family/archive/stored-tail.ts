import { isTidemarkError } from '../../../domain/errors.js';
import { ownFileName } from '../../../domain/takeover-files.js';
import type { LogFollowerOptions } from '../../log-follower.js';
import { readTransactions } from '../binlog/read-transactions.js';
import type { BinlogTransaction } from '../binlog/scan-binlog.js';
import type { Brand } from '../brand.js';

/** So many of the last stored transactions are compared. */
const KEPT = 1_000;
/** Files without any transaction lie behind restarts and rotations; so many are looked through. */
const FILES = 10;
/** With this many bytes read, fewer transactions will do: these are large ones. */
const ENOUGH_BYTES = 256 * 1024 * 1024;

/** The end of a stored log: its last transactions, in order, and what the first of the files they stand in says came before it. */
export type StoredTail = {
  readonly transactions: readonly BinlogTransaction[];
  /** MariaDB: the last transaction of every server and domain before those files. */
  readonly before: readonly string[];
  /** MariaDB: the greatest number of every server and domain in them. */
  readonly gtids: readonly string[];
};

/** Reads the last transactions of a stored log; null when there are none, or nothing of it can be read back. */
export async function readStoredTail(
  kind: Brand['kind'],
  resume: NonNullable<LogFollowerOptions['resume']>,
): Promise<StoredTail | null> {
  let transactions: BinlogTransaction[] = [];
  const gtids: string[] = [];
  let before: readonly string[] = [];
  let files = 0;
  let bytes = 0;
  for await (const { file, content } of resume.readBack?.() ?? []) {
    const found = await readFile(kind, ownFileName(file), content).catch(stopAtDamage);
    if (found === null) break;
    transactions = [...found.last, ...transactions].slice(-KEPT);
    gtids.push(...found.gtids);
    before = found.before;
    files += 1;
    bytes += found.bytes;
    const isEnough = transactions.length === KEPT || (transactions.length > 0 && bytes > ENOUGH_BYTES);
    if (isEnough || files === FILES) break;
  }
  return transactions.length === 0 ? null : { transactions, before, gtids };
}

/** What lies before something damaged cannot be compared. */
function stopAtDamage(error: unknown): null {
  if (isTidemarkError(error) && error.code === 'log_gap') return null;
  throw error;
}

async function readFile(kind: Brand['kind'], file: string, content: AsyncIterable<Buffer>) {
  let last: BinlogTransaction[] = [];
  const greatest = new Map<string, string>();
  let before: readonly string[] = [];
  let bytes = 0;
  const reading = readTransactions(content, { kind, file, content: true }, (scanner) => {
    before = scanner.previousList;
  });
  for await (const one of reading) {
    last.push(one);
    bytes = one.end;
    if (last.length === 2 * KEPT) last = last.slice(KEPT);
    if (kind === 'mariadb') greatest.set(one.gtid.slice(0, one.gtid.lastIndexOf('-')), one.gtid);
  }
  return { last, before, gtids: [...greatest.values()], bytes };
}
