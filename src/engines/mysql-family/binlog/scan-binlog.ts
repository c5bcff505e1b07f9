import { takeoverOf } from '../../../domain/takeover-files.js';
import { ContentDigest, MAX_DIGEST_BYTES } from './digest-content.js';
import type { EventHeader } from './events.js';
import {
  ENCRYPTED_MAGIC,
  eventTypes,
  HEADER_BYTES,
  MAGIC,
  readChecksumFlag,
  readHeader,
  readQuery,
  readRotate,
} from './events.js';
import { readGtidList, readMariadbGtid } from './mariadb-events.js';
import { readGtid, readPreviousGtids, readTaggedGtid } from './mysql-events.js';

/** One transaction of a log: DDL and each half of an XA transaction count as one. */
export type BinlogTransaction = {
  readonly gtid: string;
  /**
   * Commit time in microseconds since 1970 by the clock of the server whose log it is; in the stored log of one that took over, by that of the server
   * on which it was committed first, because a former primary's transactions keep their times there. MariaDB's log has whole seconds, those in
   * which the last statement began.
   */
  readonly commitTimeMicros: bigint;
  /** By the clock of the server on which it was committed first: the same in every server's log. */
  readonly originTimeMicros: bigint;
  readonly file: string;
  /** Offsets of its first byte and of the byte after its last. */
  readonly start: number;
  readonly end: number;
  /** Text of a statement that changes an event's schedule or state; replicas change such states, so that they must be set anew. */
  readonly eventStatement: { readonly database: string; readonly text: string } | null;
  /** With `content`: what it does (ContentDigest); null when that cannot be told. */
  readonly content?: string | null;
};

/** Largest statement that is looked at, in bytes: COMMIT and its like are short, longer ones are passed over unread. */
const MAX_QUERY_BYTES = 256 * 1024;

const EVENT_STATEMENT =
  /^\s*(?:CREATE|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*(?:`(?:[^`]|``)*`|'[^']*'|"[^"]*"|[^\s@]+)(?:\s*@\s*(?:`(?:[^`]|``)*`|'[^']*'|"[^"]*"|\S+))?\s+)?EVENT\s/i;
const ENDS_GROUP = /^(?:COMMIT|ROLLBACK|XA\s+(?:COMMIT|ROLLBACK)\b)/i;

/** Types whose body is needed; the rest is passed over, whatever its size. */
const wanted = new Set<number>([
  eventTypes.formatDescription,
  eventTypes.rotate,
  eventTypes.gtid,
  eventTypes.taggedGtid,
  eventTypes.previousGtids,
  eventTypes.mariadbGtid,
  eventTypes.mariadbGtidList,
]);

export type BinlogScannerOptions = {
  readonly kind: 'mysql' | 'mariadb';
  readonly file: string;
  /** To go on inside a file: an offset outside any transaction, and whether its events carry checksums (`scanner.checksums`). */
  readonly resume?: { readonly offset: number; readonly checksums: boolean };
  /** To read what the transactions do as well, which takes memory for their largest event. */
  readonly content?: boolean;
};

type Open = {
  readonly gtid: string;
  readonly commitTimeMicros: bigint;
  readonly originTimeMicros: bigint;
  readonly start: number;
  /** MySQL tells where it ends. */
  readonly end: number | null;
  readonly standalone: boolean;
  eventStatement: BinlogTransaction['eventStatement'];
};

/**
 * Finds the transactions of one binary log file in a stream of its bytes, in pieces of any size, with memory for one small event. A file
 * that is cut off in an event or a transaction is no error: `lastCompleteEnd` says how far it is whole.
 * Throws on bytes that are no binary log, on an encrypted one, and on transactions without GTID.
 */
export class BinlogScanner {
  /** Everything before it is whole transactions and events between them. */
  lastCompleteEnd = 0;
  /** Everything before it is whole events. */
  lastEventEnd = 0;
  /** The file's last event was read: it was rotated away, or its server went down in order. */
  ended = false;
  /** What was executed before the file: MySQL a GTID set, MariaDB a list with each server's last transaction. Null until it was read. */
  previous: string | null = null;
  /** MariaDB: the same as a list. */
  previousList: readonly string[] = [];
  /** Name of the file that follows, when this one was rotated away. */
  nextFile: string | null = null;
  /** Null until the file's description was read. */
  checksums: boolean | null = null;

  private readonly options: BinlogScannerOptions;
  private offset: number;
  private head: Buffer = Buffer.alloc(0);
  private need: number;
  private skip = 0;
  private header: EventHeader | null = null;
  private open: Open | null = null;
  private readonly digest: ContentDigest | null;
  private found: BinlogTransaction[] = [];

  constructor(options: BinlogScannerOptions) {
    this.options = options;
    this.offset = options.resume?.offset ?? 0;
    this.lastCompleteEnd = this.offset;
    this.lastEventEnd = this.offset;
    this.checksums = options.resume?.checksums ?? null;
    this.digest = options.content === true ? new ContentDigest() : null;
    this.need = this.offset === 0 ? MAGIC.length : HEADER_BYTES;
  }

  /** Takes the next bytes; gives the transactions that end in them. */
  push(chunk: Buffer): BinlogTransaction[] {
    this.found = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.skip > 0) {
        const taken = Math.min(this.skip, chunk.length - at);
        at += taken;
        this.skip -= taken;
        this.offset += taken;
        if (this.skip === 0) this.endEvent();
        continue;
      }
      const taken = Math.min(this.need - this.head.length, chunk.length - at);
      const piece = chunk.subarray(at, at + taken);
      this.head = this.head.length === 0 ? Buffer.from(piece) : Buffer.concat([this.head, piece]);
      at += taken;
      if (this.head.length === this.need) this.takeHead();
    }
    return this.found;
  }

  private fail(why: string): never {
    throw new Error(`${this.options.file} at ${this.offset}: ${why}`);
  }

  private takeHead(): void {
    if (this.offset === 0) {
      if (this.head.equals(ENCRYPTED_MAGIC)) this.fail('the binary log is encrypted');
      if (!this.head.equals(MAGIC)) this.fail('this is no binary log');
      this.offset = MAGIC.length;
      this.lastCompleteEnd = this.offset;
      this.lastEventEnd = this.offset;
      this.expectHeader();
      return;
    }
    if (this.header === null) {
      const header = readHeader(this.head);
      if (header.size < HEADER_BYTES) this.fail('an event is shorter than its header');
      this.header = header;
      const body = this.wantsBody(header) ? header.size : HEADER_BYTES;
      this.need = body;
      if (body > HEADER_BYTES) return;
    }
    this.offset += this.head.length;
    this.skip = this.header.size - this.head.length;
    if (this.skip === 0) this.endEvent();
  }

  private wantsBody(header: EventHeader): boolean {
    if (this.digest !== null && this.open !== null && header.size <= MAX_DIGEST_BYTES) return true;
    return wanted.has(header.type) || (header.type === eventTypes.query && header.size <= MAX_QUERY_BYTES);
  }

  private expectHeader(): void {
    this.head = Buffer.alloc(0);
    this.header = null;
    this.need = HEADER_BYTES;
  }

  private endEvent(): void {
    const header = this.header;
    if (header === null) return;
    const whole = this.head.subarray(HEADER_BYTES);
    this.expectHeader();
    const start = this.offset - header.size;
    if (header.type === eventTypes.formatDescription) this.checksums = readChecksumFlag(whole);
    const body = whole.length === 0 ? whole : whole.subarray(0, whole.length - (this.checksums ? 4 : 0));
    this.event(header, body, start);
    this.lastEventEnd = this.offset;
    if (this.open === null) this.lastCompleteEnd = this.offset;
  }

  private event(header: EventHeader, body: Buffer, start: number): void {
    switch (header.type) {
      case eventTypes.rotate:
        this.nextFile = readRotate(body);
        this.ended = true;
        return;
      case eventTypes.stop:
        this.ended = true;
        return;
      case eventTypes.previousGtids:
        this.previous = readPreviousGtids(body).toString();
        return;
      case eventTypes.mariadbGtidList:
        this.previousList = readGtidList(body);
        this.previous = this.previousList.join(',');
        return;
      case eventTypes.mariadbStartEncryption:
        this.fail('the binary log is encrypted');
        return;
      case eventTypes.incident:
        this.fail('the server noted here that its log is incomplete (incident event)');
        return;
      case eventTypes.anonymousGtid:
        this.fail('a transaction without GTID');
        return;
      case eventTypes.gtid:
      case eventTypes.taggedGtid: {
        const gtid = header.type === eventTypes.gtid ? readGtid(body) : readTaggedGtid(body);
        if (gtid.transactionLength < header.size) this.fail('a transaction without length');
        this.begin({ ...gtid, start, end: start + gtid.transactionLength, standalone: false });
        break;
      }
      case eventTypes.mariadbGtid: {
        // A transaction that never ended: its server went away while it wrote.
        this.open = null;
        this.begin({ ...readMariadbGtid(header, body), start, end: null });
        return;
      }
    }
    this.inside(header, body);
  }

  private begin(open: Omit<Open, 'eventStatement'>): void {
    this.digest?.begin();
    this.open = {
      gtid: open.gtid,
      commitTimeMicros: takeoverOf(this.options.file) > 0 ? open.originTimeMicros : open.commitTimeMicros,
      originTimeMicros: open.originTimeMicros,
      start: open.start,
      end: open.end,
      standalone: open.standalone,
      eventStatement: null,
    };
  }

  /** Looks whether an event inside a transaction is its last one. */
  private inside(header: EventHeader, body: Buffer): void {
    const open = this.open;
    if (open === null) return;
    this.digest?.event(header, body.length === 0 ? null : body);
    let closes = false;
    if (header.type === eventTypes.query && body.length > 0) {
      const query = readQuery(body);
      if (EVENT_STATEMENT.test(query.text)) open.eventStatement = query;
      closes = ENDS_GROUP.test(query.text);
    }
    if (open.end !== null) {
      if (this.offset > open.end) this.fail(`transaction ${open.gtid} is longer than it says`);
      closes = this.offset === open.end;
    } else if (!closes) {
      const { query, xid, xaPrepare, mariadbQueryCompressed, executeLoadQuery } = eventTypes;
      const statement =
        header.type === query || header.type === mariadbQueryCompressed || header.type === executeLoadQuery;
      closes = header.type === xid || header.type === xaPrepare || (open.standalone && statement);
    }
    if (!closes) return;
    this.found.push({
      gtid: open.gtid,
      commitTimeMicros: open.commitTimeMicros,
      originTimeMicros: open.originTimeMicros,
      file: this.options.file,
      start: open.start,
      end: this.offset,
      eventStatement: open.eventStatement,
      ...(this.digest === null ? {} : { content: this.digest.end() }),
    });
    this.open = null;
  }
}
