/** Finds records of one kind in PostgreSQL's log, page by page, without looking into the others. Pure. */

export const PAGE_BYTES = 8192;

/** Flags of a page header (`xlp_info`). */
const CONTINUES = 0x0001;
const LONG_HEADER = 0x0002;
const SHORT_BYTES = 24;
const LONG_BYTES = 40;

/** Fields of a record's header, in bytes from its beginning; 24 in all. Source: PostgreSQL's access/xlogrecord.h. */
export const RECORD_HEADER = { length: 0, info: 16, manager: 17, checksum: 20, bytes: 24 } as const;

/** A whole record, and where its bytes lie: it may go on over pages and files. */
export type FoundRecord<File> = {
  readonly bytes: Buffer;
  readonly spans: readonly { readonly file: File; readonly offset: number; readonly length: number }[];
};

type Pending<File> = { left: number; kept: { readonly bytes: Buffer; readonly file: File; readonly offset: number }[] };

const align = (at: number) => (at + 7) & ~7;

/**
 * Give it the pages in the order of the log. A page that is not what belongs in its place is passed over, as is the record that it cuts:
 * each page says where its first record begins.
 */
export class RecordFinder<File> {
  private pending: Pending<File> | null = null;
  private readonly isWanted: (manager: number, info: number) => boolean;
  private readonly onRecord: (record: FoundRecord<File>) => void;

  /** `isWanted`: by the resource manager's number and the upper half of `xl_info`. */
  constructor(isWanted: (manager: number, info: number) => boolean, onRecord: (record: FoundRecord<File>) => void) {
    this.isWanted = isWanted;
    this.onRecord = onRecord;
  }

  /** The log does not go on from the page before. */
  cut(): void {
    this.pending = null;
  }

  /** `page` lies at `offset` of `file` and should begin at position `lsn` of the log. */
  add(page: Buffer, lsn: bigint, file: File, offset: number): void {
    const info = page.readUInt16LE(2);
    if (page.readUInt16LE(0) === 0 || page.readBigUInt64LE(8) !== lsn) {
      this.pending = null;
      return;
    }
    let at = (info & LONG_HEADER) !== 0 ? LONG_BYTES : SHORT_BYTES;
    const rest = (info & CONTINUES) !== 0 ? page.readUInt32LE(16) : 0;
    // A record that was never finished, because the server went down amid it, is written over.
    if (this.pending !== null && this.pending.left !== rest) this.pending = null;
    if (rest > 0) {
      const take = Math.min(rest, PAGE_BYTES - at);
      if (this.pending !== null) this.take(this.pending, page, at, take, file, offset);
      if (rest > take) return;
      at = align(at + take);
    }
    while (at < PAGE_BYTES) {
      const length = page.readUInt32LE(at);
      if (length < RECORD_HEADER.bytes) return;
      const take = Math.min(length, PAGE_BYTES - at);
      // With its header split between two pages nobody knows yet what it is.
      const isKnown = take > RECORD_HEADER.manager;
      const manager = isKnown ? (page[at + RECORD_HEADER.manager] ?? 0) : 0;
      const kind = isKnown ? (page[at + RECORD_HEADER.info] ?? 0) & 0xf0 : 0;
      if (!isKnown || this.isWanted(manager, kind)) {
        this.pending = { left: length, kept: [] };
        this.take(this.pending, page, at, take, file, offset);
      }
      at = align(at + take);
    }
  }

  private take(record: Pending<File>, page: Buffer, at: number, bytes: number, file: File, offset: number): void {
    record.kept.push({ bytes: Buffer.from(page.subarray(at, at + bytes)), file, offset: offset + at });
    record.left -= bytes;
    if (record.left > 0) return;
    this.pending = null;
    const whole = Buffer.concat(record.kept.map((piece) => piece.bytes));
    if (!this.isWanted(whole[RECORD_HEADER.manager] ?? 0, (whole[RECORD_HEADER.info] ?? 0) & 0xf0)) return;
    this.onRecord({
      bytes: whole,
      spans: record.kept.map((piece) => ({ file: piece.file, offset: piece.offset, length: piece.bytes.length })),
    });
  }
}
