import { describe, expect, it } from 'vitest';
import type { FoundRecord } from '../../src/engines/postgres/chain/find-records.js';
import { PAGE_BYTES, RecordFinder } from '../../src/engines/postgres/chain/find-records.js';

const WANTED = 5;
const SEGMENT = 2 * PAGE_BYTES;

function record(manager: number, length: number, fill: number): Buffer {
  const bytes = Buffer.alloc(length, fill);
  bytes.writeUInt32LE(length, 0);
  bytes[16] = 0;
  bytes[17] = manager;
  return bytes;
}

/** Lays records out in pages as a server does: aligned to 8 bytes, each page with a header, the first of a file with a long one. */
function layOut(records: readonly Buffer[], pages: number): Buffer {
  const log = Buffer.alloc(pages * PAGE_BYTES);
  const queue = [...records];
  let left: Buffer = Buffer.alloc(0);
  for (let page = 0; page < pages; page++) {
    const start = page * PAGE_BYTES;
    const isFirst = start % SEGMENT === 0;
    log.writeUInt16LE(0xd116, start);
    log.writeUInt16LE((isFirst ? 2 : 0) | (left.length > 0 ? 1 : 0), start + 2);
    log.writeBigUInt64LE(BigInt(start), start + 8);
    log.writeUInt32LE(left.length, start + 16);
    let at = start + (isFirst ? 40 : 24);
    const end = start + PAGE_BYTES;
    while (at < end) {
      if (left.length === 0) left = queue.shift() ?? Buffer.alloc(0);
      if (left.length === 0) break;
      const take = Math.min(left.length, end - at);
      left.copy(log, at, 0, take);
      left = left.subarray(take);
      at = (at + take + 7) & ~7;
    }
  }
  return log;
}

function find(log: Buffer, skip: ReadonlySet<number> = new Set()): FoundRecord<number>[] {
  const found: FoundRecord<number>[] = [];
  const finder = new RecordFinder<number>(
    (manager, info) => manager === WANTED && info === 0,
    (one) => found.push(one),
  );
  for (let at = 0; at < log.length; at += PAGE_BYTES) {
    const page = skip.has(at / PAGE_BYTES) ? Buffer.alloc(PAGE_BYTES) : log.subarray(at, at + PAGE_BYTES);
    finder.add(page, BigInt(at), Math.floor(at / SEGMENT), at % SEGMENT);
  }
  return found;
}

/** What fills the first page but for `rest` bytes. */
const filler = (rest: number) => record(0, PAGE_BYTES - 40 - rest, 7);

describe('records found in the log of PostgreSQL', () => {
  it('are those of the wanted kind, with the place of their bytes', () => {
    const wanted = record(WANTED, 60, 1);
    const found = find(layOut([record(0, 100, 2), wanted, record(WANTED + 1, 50, 3)], 1));
    expect(found).toEqual([{ bytes: wanted, spans: [{ file: 0, offset: 40 + 104, length: 60 }] }]);
  });

  it.each([8, 16, 24, 48])('are put together when only %i bytes of them fit on the page', (rest) => {
    const wanted = record(WANTED, 200, 1);
    const after = record(WANTED, 40, 4);
    const found = find(layOut([filler(rest), wanted, after], 2));
    expect(found.map(({ bytes }) => bytes)).toEqual([wanted, after]);
    expect(found[0]?.spans).toEqual([
      { file: 0, offset: PAGE_BYTES - rest, length: rest },
      { file: 0, offset: PAGE_BYTES + 24, length: 200 - rest },
    ]);
  });

  it('are put together across files, and past records of many pages', () => {
    const long = record(0, 3 * PAGE_BYTES, 9);
    const wanted = record(WANTED, 100, 1);
    const log = layOut([record(0, 2 * PAGE_BYTES - 40 - 24 - 40, 7), wanted, long, wanted], 6);
    const found = find(log);
    expect(found.map(({ bytes }) => bytes)).toEqual([wanted, wanted]);
    expect(found[0]?.spans).toEqual([
      { file: 0, offset: SEGMENT - 40, length: 40 },
      { file: 1, offset: 40, length: 60 },
    ]);
  });

  it('are given up when a page between is not there, and found again from the next page on', () => {
    const wanted = record(WANTED, 100, 1);
    const log = layOut([filler(16), record(WANTED, 2 * PAGE_BYTES, 8), wanted], 4);
    expect(find(log, new Set([1])).map(({ bytes }) => bytes)).toEqual([wanted]);
  });
});
