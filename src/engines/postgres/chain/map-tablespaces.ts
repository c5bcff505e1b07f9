import { readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { TidemarkError } from '../../../domain/errors.js';
import { parseSegmentName, segmentStart } from '../archive/wal-names.js';
import type { FoundRecord } from './find-records.js';
import { PAGE_BYTES, RECORD_HEADER, RecordFinder } from './find-records.js';

/** A tablespace that the log creates, and where the source keeps it. */
export type CreatedTablespace = { readonly oid: number; readonly location: string };

/** The resource manager of tablespaces, and its record of CREATE TABLESPACE. Source: PostgreSQL's rmgrlist.h and commands/tablespace.h. */
const TABLESPACE_MANAGER = 5;
const CREATE = 0x00;

/** How much of the log is read at once; whole pages. */
const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * Changes each CREATE TABLESPACE in a private copy of the log so that its replay makes a folder inside the data directory. As it was
 * written, replay would go to the path of the source: on another host it ends there, and on the source's own host it would write into,
 * and empty, the folders that the living server uses. An empty path means «in place» to replay (PostgreSQL 15 and later); nothing else in
 * the log names a path. The length of the record stays, its checksum is made anew. Doing it twice changes nothing.
 */
export async function mapTablespaces(
  dirs: readonly string[],
  segmentBytes: number,
  signal: AbortSignal,
): Promise<CreatedTablespace[]> {
  const created = new Map<number, CreatedTablespace>();
  for (const dir of dirs)
    for (const record of await findCreations(dir, segmentBytes, signal)) {
      const found = readCreation(record.bytes);
      if (found === null) continue;
      created.set(found.oid, { oid: found.oid, location: found.location });
      record.bytes[found.pathAt] = 0;
      record.bytes.writeUInt32LE(checksumOf(record.bytes), RECORD_HEADER.checksum);
      await writeBack(record);
    }
  return [...created.values()];
}

async function findCreations(dir: string, segmentBytes: number, signal: AbortSignal): Promise<FoundRecord<string>[]> {
  const found: FoundRecord<string>[] = [];
  const finder = new RecordFinder<string>(
    (manager, info) => manager === TABLESPACE_MANAGER && info === CREATE,
    (record) => found.push(record),
  );
  const segments = readdirSync(dir)
    .sort()
    .flatMap((name) => {
      const segment = parseSegmentName(name, segmentBytes);
      return segment === null ? [] : [{ name, segment }];
    });
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, segmentBytes));
  let next: { readonly timeline: number; readonly number: bigint } | null = null;
  for (const { name, segment } of segments) {
    if (next === null || next.timeline !== segment.timeline || next.number !== segment.number) finder.cut();
    next = { timeline: segment.timeline, number: segment.number + 1n };
    const path = join(dir, name);
    const start = segmentStart(segment, segmentBytes);
    const file = await open(path, 'r');
    try {
      for (let at = 0; at < segmentBytes; ) {
        if (signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        // The newest file may be cut amid a page.
        const whole = Math.ceil(bytesRead / PAGE_BYTES) * PAGE_BYTES;
        buffer.fill(0, bytesRead, whole);
        for (let page = 0; page < whole; page += PAGE_BYTES)
          finder.add(buffer.subarray(page, page + PAGE_BYTES), start + BigInt(at + page), path, at + page);
        if (whole === 0) break;
        at += whole;
      }
    } finally {
      await file.close();
    }
  }
  return found;
}

/** Where the path begins, and what the record says; null when it has none any more, or is broken: then replay ends there by itself. */
function readCreation(record: Buffer): (CreatedTablespace & { pathAt: number }) | null {
  if (checksumOf(record) !== record.readUInt32LE(RECORD_HEADER.checksum)) return null;
  let at: number = RECORD_HEADER.bytes;
  for (;;) {
    const id = record[at];
    // Origin and outer transaction, which may stand before the record's own data.
    if (id === 253) at += 3;
    else if (id === 252) at += 5;
    else if (id === 255) at += 2;
    else if (id === 254) at += 5;
    else return null;
    if (id === 255 || id === 254) break;
  }
  const pathAt = at + 4;
  if (pathAt >= record.length || record[pathAt] === 0) return null;
  const end = record.indexOf(0, pathAt);
  return {
    oid: record.readUInt32LE(at),
    location: record.toString('utf8', pathAt, end < 0 ? record.length : end),
    pathAt,
  };
}

async function writeBack({ bytes, spans }: FoundRecord<string>): Promise<void> {
  let at = 0;
  for (const span of spans) {
    const file = await open(span.file, 'r+');
    try {
      await file.write(bytes, at, span.length, span.offset);
    } finally {
      await file.close();
    }
    at += span.length;
  }
}

/** CRC-32C, bit by bit reversed. Node has only the other CRC-32. */
const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** Of a record: its data first, then its header without the checksum. */
function checksumOf(record: Buffer): number {
  let crc = 0xffffffff;
  const add = (part: Buffer) => {
    for (const byte of part) crc = (TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  };
  add(record.subarray(RECORD_HEADER.bytes));
  add(record.subarray(0, RECORD_HEADER.checksum));
  return (crc ^ 0xffffffff) >>> 0;
}
