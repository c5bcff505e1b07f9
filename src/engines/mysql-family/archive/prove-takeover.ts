import { createHash } from 'node:crypto';
import { logFileNumber } from '../../../domain/compare-positions.js';
import type { LogPosition } from '../../../domain/positions.js';
import { ownFileName } from '../../../domain/takeover-files.js';
import { GtidPosition } from '../binlog/gtid-position.js';
import { GtidSet } from '../binlog/gtid-set.js';
import { BinlogScanner } from '../binlog/scan-binlog.js';
import type { Brand } from '../brand.js';
import type { Session } from '../session.js';
import type { BinlogSpool } from './binlog-spool.js';
import { hashPrefix, readPart } from './binlog-spool.js';
import { listedBefore } from './find-gap.js';
import type { StoredTail } from './stored-tail.js';
import type { TakeoverRules } from './takeover-rules.js';
import { takeoverRules } from './takeover-rules.js';

const READ_BYTES = 1024 * 1024;

/** Of files that were read: how many bytes from their beginning, and what these are. */
export type ReadBytes = ReadonlyMap<string, { readonly bytes: number; readonly sha256: string }>;

/** The newest file that begins before a transaction; null when the server has removed it. Throws for a role that may not see its files. */
export async function findFileOf(session: Session, brand: Brand, gtid: string): Promise<string | null> {
  const rows = await session.raw('SHOW BINARY LOGS');
  for (const row of rows.reverse()) {
    const file = row.Log_name ?? '';
    const before = await listedBefore(session, file);
    if (before === null) return null;
    const has = brand.kind === 'mysql' ? GtidSet.parse(before).has(gtid) : GtidPosition.parse(before).knows(gtid);
    if (!has) return file;
  }
  return null;
}

/** Reads what arrives of the log of a server that took over, from the file in which the stored log ends, until it has proven to go on with it. */
export class TakeoverProof {
  private readonly kind: Brand['kind'];
  private readonly spool: BinlogSpool;
  private readonly rules: TakeoverRules;
  private readonly end: LogPosition;
  private name: string;
  private scanned = 0;
  private scanner: BinlogScanner;
  private begun = false;
  private hash = createHash('sha256');
  /** Of the bytes before `scanned`: which run of the receiver wrote them. */
  private run: number | null = null;
  private readonly done = new Map<string, { bytes: number; sha256: string }>();

  constructor(
    kind: Brand['kind'],
    spool: BinlogSpool,
    options: {
      /** As the stored log calls it. */
      readonly file: string;
      readonly stored: LogPosition;
      readonly tail: StoredTail;
      /** Where the server's log ended when it was asked: what is stored lies before. */
      readonly end: LogPosition;
    },
  ) {
    this.kind = kind;
    this.spool = spool;
    this.name = options.file;
    this.end = options.end;
    this.rules = takeoverRules(kind, options.stored.gtidSet ?? '', options.tail);
    this.scanner = this.newScanner();
  }

  /** Whether it is proven; a text says why it never will be. */
  async look(): Promise<boolean | string> {
    for (;;) {
      const [copy] = (await this.spool.copies(this.name)).filter(({ bytes }) => bytes >= this.scanned);
      if (copy === undefined) return false;
      if (copy.run !== this.run && (await hashPrefix(copy.path, this.scanned)).digest('hex') !== this.sha256)
        return 'it began its log anew while that was read';
      this.run = copy.run;
      const to = Math.min(copy.bytes, this.scanned + READ_BYTES);
      if (to > this.scanned) {
        const piece = await readPart(copy.path, this.scanned, to);
        this.hash.update(piece);
        this.scanned = to;
        const why = this.push(piece);
        if (why !== null) return why;
        if (this.rules.isProven) return true;
      }
      if (this.isBehindEnd()) return `its log does not hold ${this.rules.missing()}, which it executed`;
      if (this.scanned < copy.bytes) continue;
      if (copy.next === null) return false;
      this.done.set(this.name, { bytes: this.scanned, sha256: this.sha256 });
      this.name = copy.next;
      this.scanned = 0;
      this.hash = createHash('sha256');
      this.run = null;
      this.scanner = this.newScanner();
    }
  }

  /** What it is proven with: who reads it later must find just that. */
  get read(): ReadBytes {
    return new Map([...this.done, [this.name, { bytes: this.scanned, sha256: this.sha256 }]]);
  }

  private get sha256(): string {
    return this.hash.copy().digest('hex');
  }

  private push(piece: Buffer): string | null {
    try {
      const found = this.scanner.push(piece);
      if (!this.begun && this.scanner.previous !== null) {
        this.begun = true;
        const why = this.rules.begin(this.scanner.previous, this.scanner.previousList);
        if (why !== null) return why;
      }
      for (const transaction of found) {
        const why = this.rules.take(transaction);
        if (why !== null) return why;
        if (this.rules.isProven) return null;
      }
      return null;
    } catch (error) {
      return `its log cannot be read: ${(error as Error).message}`;
    }
  }

  private isBehindEnd(): boolean {
    const files = logFileNumber(this.name) - logFileNumber(this.end.file);
    return files > 0 || (files === 0 && this.scanned >= Number(this.end.filePosition ?? 0));
  }

  private newScanner(): BinlogScanner {
    return new BinlogScanner({ kind: this.kind, file: ownFileName(this.name), content: true });
  }
}
