import { GtidPosition, parseMariadbGtid } from '../binlog/gtid-position.js';
import { GtidSet } from '../binlog/gtid-set.js';
import type { BinlogTransaction } from '../binlog/scan-binlog.js';
import type { Brand } from '../brand.js';
import type { StoredTail } from './stored-tail.js';

/**
 * Whether the log of a server that took over is the stored log and what comes after it. Told with its transactions one after the other, from the
 * beginning of a file; all methods answer why not, as a sentence's end, or null.
 */
export interface TakeoverRules {
  /** What the file says was executed before it. */
  begin(previous: string, list: readonly string[]): string | null;
  take(transaction: BinlogTransaction): string | null;
  /** Everything that is stored was met, and nothing else: what follows is new. */
  readonly isProven: boolean;
  /** What is stored and was not met. */
  missing(): string;
}

/** The last stored transactions, to be found again in the other log just as they are stored. */
class Comparison {
  private readonly wanted: Map<string, BinlogTransaction>;
  private readonly met = new Set<string>();

  constructor(tail: StoredTail) {
    this.wanted = new Map(tail.transactions.map((one) => [one.gtid, one]));
  }

  take(one: BinlogTransaction): string | null {
    const stored = this.wanted.get(one.gtid);
    if (stored === undefined) return null;
    this.met.add(one.gtid);
    if (stored.originTimeMicros !== one.originTimeMicros) return differs(one.gtid);
    // A replica that left a part of it out has its name and its time all the same.
    if (typeof stored.content !== 'string' || typeof one.content !== 'string')
      return `its transaction ${one.gtid} cannot be compared with the stored one (it is compressed, loaded from a file, or has a row of more than 16 MiB)`;
    return stored.content === one.content ? null : differs(one.gtid);
  }

  /** One that was not met, of those that do not lie before. */
  left(isBefore: (gtid: string) => boolean): string | null {
    for (const gtid of this.wanted.keys()) if (!this.met.has(gtid) && !isBefore(gtid)) return gtid;
    return null;
  }

  get count(): number {
    return this.met.size;
  }
}

const differs = (gtid: string) => `its transaction ${gtid} is another one than the stored transaction`;

class MysqlRules implements TakeoverRules {
  private readonly stored: GtidSet;
  private readonly comparison: Comparison;
  private covered = new GtidSet();
  private strange: string | null = null;
  isProven = false;

  constructor(stored: string, tail: StoredTail) {
    this.stored = GtidSet.parse(stored);
    this.comparison = new Comparison(tail);
  }

  begin(previous: string): string | null {
    this.covered = GtidSet.parse(previous);
    const strange = this.stored.missing(this.covered);
    return strange.isEmpty ? null : `it executed ${strange.toString()}, which is not stored, before what is stored`;
  }

  take(one: BinlogTransaction): string | null {
    if (!this.stored.has(one.gtid)) {
      this.strange ??= one.gtid;
      return null;
    }
    if (this.strange !== null) return `it executed ${this.strange}, which is not stored, before ${one.gtid}, which is`;
    const why = this.comparison.take(one);
    if (why !== null) return why;
    this.covered.add(one.gtid);
    this.isProven = this.comparison.count > 0 && this.covered.includes(this.stored);
    return null;
  }

  missing(): string {
    return this.covered.missing(this.stored).toString();
  }
}

class MariadbRules implements TakeoverRules {
  private readonly last: readonly string[];
  private readonly comparison: Comparison;
  /** What is stored: the greatest number of every server in every domain. */
  private readonly known = new GtidPosition();
  /** The last stored transaction of each domain, until it is met. */
  private readonly pending = new Map<string, string>();
  /** What its file says came before it. */
  private readonly before = new GtidPosition();
  private strange: string | null = null;
  isProven = false;

  constructor(stored: string, tail: StoredTail) {
    this.last = stored.split(',').filter((text) => text.trim() !== '');
    this.comparison = new Comparison(tail);
    for (const gtid of [...tail.before, ...tail.gtids, ...this.last]) this.known.note(gtid);
  }

  begin(_previous: string, list: readonly string[]): string | null {
    const strange = list.find((gtid) => !this.known.knows(gtid));
    if (strange !== undefined) return `it executed ${strange}, which is not stored, before what is stored`;
    for (const gtid of list) this.before.note(gtid);
    for (const gtid of this.last) if (!this.before.knows(gtid)) this.pending.set(domainOf(gtid), gtid);
    return null;
  }

  take(one: BinlogTransaction): string | null {
    const last = this.pending.get(domainOf(one.gtid));
    if (last === undefined) {
      this.strange ??= one.gtid;
      return null;
    }
    if (this.strange !== null) return `it executed ${this.strange}, which is not stored, before ${one.gtid}, which is`;
    if (!this.known.knows(one.gtid)) return `it executed ${one.gtid}, which is not stored, before ${last}, which is`;
    const why = this.comparison.take(one);
    if (why !== null) return why;
    if (one.gtid === last.trim()) this.pending.delete(domainOf(one.gtid));
    if (this.pending.size > 0) return null;
    const left = this.comparison.left((gtid) => this.before.knows(gtid));
    if (left !== null) return `it has ${last.trim()}, and not ${left} before it`;
    this.isProven = this.comparison.count > 0;
    return null;
  }

  missing(): string {
    return [...this.pending.values()].join(', ');
  }
}

const domainOf = (gtid: string) => parseMariadbGtid(gtid).domain;

export const takeoverRules = (kind: Brand['kind'], stored: string, tail: StoredTail): TakeoverRules =>
  new (kind === 'mysql' ? MysqlRules : MariadbRules)(stored, tail);
