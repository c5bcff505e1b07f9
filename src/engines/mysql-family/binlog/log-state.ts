import { GtidPosition, parseMariadbGtid } from './gtid-position.js';
import { GtidSet } from './gtid-set.js';

/** How a file follows those before it: it is the first; or the next of its server; or the first of a server that took over, which begins anywhere before. */
export type FileJoin = 'first' | 'next' | 'takeover';

/** Which transactions are there: those of a backup first, then those of the log as it is read, file by file. */
export interface LogState {
  /** The transaction is in the backup. Throws on a text that is no GTID. */
  holds(gtid: string): boolean;
  /** Not to be applied: the backup has it, or it was applied already. MariaDB: only where the log's files are not those of the backup's server. */
  isHeld(gtid: string): boolean;
  pass(gtid: string): void;
  apply(gtid: string): void;
  /** Compares what a file says came before it with what is there. Null when nothing is missing, else what is. */
  join(previous: string | null, list: readonly string[], how: FileJoin): string | null;
  /** A transaction of the backup that is neither before the log nor among those passed over; null when there is none. */
  unseen(): string | null;
  /** What of a position is not reached; null when all of it is. */
  missing(position: string): string | null;
  /** As the server will print it. */
  position(): string;
  applied(): string;
}

class MysqlState implements LogState {
  private readonly base: GtidSet;
  private readonly known: GtidSet;

  constructor(base: string) {
    this.base = GtidSet.parse(base);
    this.known = this.base.copy();
  }

  holds(gtid: string): boolean {
    return this.base.has(gtid);
  }

  isHeld(gtid: string): boolean {
    return this.known.has(gtid);
  }

  pass(): void {
    // It is known already.
  }

  apply(gtid: string): void {
    this.known.add(gtid);
  }

  join(previous: string | null): string | null {
    if (previous === null) return 'it does not say what came before it.';
    return this.missing(previous);
  }

  unseen(): string | null {
    // A set says everything: what a file follows is compared when it is joined.
    return null;
  }

  missing(position: string): string | null {
    const missing = this.known.missing(GtidSet.parse(position));
    return missing.isEmpty ? null : `${missing.toString()} is missing.`;
  }

  position(): string {
    return this.known.toString();
  }

  applied(): string {
    return this.base.missing(this.known).toString();
  }
}

class MariadbState implements LogState {
  private readonly base: GtidPosition;
  /** What the log holds or says it follows. */
  private readonly seen = new GtidPosition();
  private readonly reached: GtidPosition;
  /** The backup's last transaction of each domain, until it was met: all of its domain before it are in the backup, whatever their numbers. */
  private ahead: Set<string>;

  constructor(base: string) {
    this.base = GtidPosition.parse(base);
    this.reached = GtidPosition.parse(base);
    this.ahead = new Set(this.base.list());
  }

  holds(gtid: string): boolean {
    return this.base.reaches(gtid);
  }

  isHeld(gtid: string): boolean {
    const { domain } = parseMariadbGtid(gtid);
    return [...this.ahead].some((last) => parseMariadbGtid(last).domain === domain);
  }

  pass(gtid: string): void {
    this.seen.add(gtid);
    this.ahead.delete(gtid);
  }

  apply(gtid: string): void {
    this.seen.add(gtid);
    this.reached.add(gtid);
  }

  join(previous: string | null, list: readonly string[], how: FileJoin): string | null {
    if (previous === null) return 'it does not say what came before it.';
    if (how === 'first') {
      for (const gtid of list) this.seen.note(gtid);
      for (const last of this.base.list()) if (this.seen.knows(last)) this.ahead.delete(last);
      return null;
    }
    const missing = list.find((gtid) => !this.seen.knows(gtid));
    if (missing !== undefined) return `${missing} is missing.`;
    if (how === 'takeover') {
      const before = new GtidPosition();
      for (const gtid of list) before.note(gtid);
      this.ahead = new Set(this.reached.list().filter((last) => !before.knows(last)));
    }
    return null;
  }

  unseen(): string | null {
    return this.base.list().find((gtid) => !this.seen.knows(gtid)) ?? null;
  }

  missing(position: string): string | null {
    for (const gtid of position.split(',')) {
      if (gtid.trim() !== '' && !this.reached.reaches(gtid)) return `${gtid.trim()}.`;
    }
    return null;
  }

  position(): string {
    return this.reached.toString();
  }

  applied(): string {
    return '';
  }
}

export function openLogState(kind: 'mysql' | 'mariadb', base: string): LogState {
  return kind === 'mysql' ? new MysqlState(base) : new MariadbState(base);
}
