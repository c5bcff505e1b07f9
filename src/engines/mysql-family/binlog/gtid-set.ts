/** A closed range of transaction numbers. */
type Interval = { from: bigint; to: bigint };

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TAG = /^[a-z_][a-z0-9_]{0,31}$/;
const RANGE = /^(\d+)(?:-(\d+))?$/;

/**
 * A GTID set of MySQL: numbers by source (`uuid`) or by source and tag (`uuid:tag`, since 8.3). Two sets are equal exactly when their
 * `toString()` is: it is sorted and merged as the server prints its own.
 */
export class GtidSet {
  private readonly sources = new Map<string, Interval[]>();

  /** Reads what `@@gtid_executed` prints: `uuid:1-5:7,uuid2:1:tag:1-3`. Throws on anything else. */
  static parse(text: string): GtidSet {
    const set = new GtidSet();
    for (const part of text.replaceAll(/\s/g, '').toLowerCase().split(',')) {
      if (part === '') continue;
      const [uuid = '', ...rest] = part.split(':');
      if (!UUID.test(uuid) || rest.length === 0) throw new Error(`Not a GTID set: ${text.slice(0, 200)}`);
      let source = uuid;
      for (const piece of rest) {
        const range = RANGE.exec(piece);
        if (range) set.addRange(source, BigInt(range[1] ?? 0), BigInt(range[2] ?? range[1] ?? 0));
        else if (TAG.test(piece)) source = `${uuid}:${piece}`;
        else throw new Error(`Not a GTID set: ${text.slice(0, 200)}`);
      }
    }
    return set;
  }

  /** Adds one transaction, `uuid:7` or `uuid:tag:7`. */
  add(gtid: string): void {
    const { source, number } = splitGtid(gtid);
    this.addRange(source, number, number);
  }

  addRange(source: string, from: bigint, to: bigint): void {
    const list = this.sources.get(source);
    if (!list) {
      this.sources.set(source, [{ from, to }]);
      return;
    }
    // A log mostly continues where it was: the last range grows.
    const last = list.at(-1);
    if (last && from === last.to + 1n) {
      last.to = to;
      return;
    }
    const merged: Interval[] = [];
    for (const interval of [...list, { from, to }].sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))) {
      const before = merged.at(-1);
      if (!before || interval.from > before.to + 1n) merged.push({ ...interval });
      else if (interval.to > before.to) before.to = interval.to;
    }
    this.sources.set(source, merged);
  }

  addAll(other: GtidSet): void {
    for (const [source, list] of other.sources) for (const { from, to } of list) this.addRange(source, from, to);
  }

  has(gtid: string): boolean {
    const { source, number } = splitGtid(gtid);
    return (this.sources.get(source) ?? []).some(({ from, to }) => from <= number && number <= to);
  }

  /** True when every transaction of `other` is in this set. */
  includes(other: GtidSet): boolean {
    for (const [source, list] of other.sources) {
      const own = this.sources.get(source) ?? [];
      for (const { from, to } of list) if (!own.some((one) => one.from <= from && to <= one.to)) return false;
    }
    return true;
  }

  /** What of `other` is missing here. */
  missing(other: GtidSet): GtidSet {
    const gone = new GtidSet();
    for (const [source, list] of other.sources) {
      const own = this.sources.get(source) ?? [];
      for (const wanted of list) {
        let next = wanted.from;
        for (const { from, to } of own) {
          if (to < next || from > wanted.to) continue;
          if (from > next) gone.addRange(source, next, from - 1n);
          next = to + 1n;
        }
        if (next <= wanted.to) gone.addRange(source, next, wanted.to);
      }
    }
    return gone;
  }

  get isEmpty(): boolean {
    return this.sources.size === 0;
  }

  copy(): GtidSet {
    const set = new GtidSet();
    set.addAll(this);
    return set;
  }

  toString(): string {
    const byUuid = new Map<string, string[]>();
    for (const source of [...this.sources.keys()].sort()) {
      const [uuid = '', tag] = source.split(':');
      const ranges = (this.sources.get(source) ?? []).map(({ from, to }) =>
        from === to ? `${from}` : `${from}-${to}`,
      );
      byUuid.set(uuid, [...(byUuid.get(uuid) ?? [uuid]), ...(tag === undefined ? [] : [tag]), ...ranges]);
    }
    return [...byUuid.values()].map((parts) => parts.join(':')).join(',');
  }
}

function splitGtid(gtid: string): { source: string; number: bigint } {
  const at = gtid.lastIndexOf(':');
  const source = gtid.slice(0, at).toLowerCase();
  const number = gtid.slice(at + 1);
  const [uuid = '', tag] = source.split(':');
  if (at < 0 || !UUID.test(uuid) || (tag !== undefined && !TAG.test(tag)) || !/^\d+$/.test(number))
    throw new Error(`Not a GTID: ${gtid.slice(0, 200)}`);
  return { source, number: BigInt(number) };
}
