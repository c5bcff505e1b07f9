import type { BinlogScannerOptions, BinlogTransaction } from './scan-binlog.js';
import { BinlogScanner } from './scan-binlog.js';

/** What is known of a file once it was read to its end. */
export type BinlogEnd = {
  readonly lastCompleteEnd: number;
  readonly previous: string | null;
  readonly previousList: readonly string[];
  readonly nextFile: string | null;
};

/**
 * All transactions of a file in log order; the generator's return value says how far it is whole. `onChunk` is called before each piece's
 * transactions are given: what the file says of itself stands before its first one. Errors as BinlogScanner.
 */
export async function* readTransactions(
  stream: AsyncIterable<Buffer>,
  options: BinlogScannerOptions,
  onChunk?: (scanner: BinlogScanner) => void,
): AsyncGenerator<BinlogTransaction, BinlogEnd> {
  const scanner = new BinlogScanner(options);
  for await (const chunk of stream) {
    const found = scanner.push(chunk);
    onChunk?.(scanner);
    yield* found;
  }
  const { lastCompleteEnd, previous, previousList, nextFile } = scanner;
  return { lastCompleteEnd, previous, previousList, nextFile };
}

/** How far a file consists of whole transactions, in bytes. */
export async function lastCompleteEnd(stream: AsyncIterable<Buffer>, options: BinlogScannerOptions): Promise<number> {
  const scanner = new BinlogScanner(options);
  for await (const chunk of stream) scanner.push(chunk);
  return scanner.lastCompleteEnd;
}
