/** One transaction of MariaDB: `domain-server-number`. */
export type MariadbGtid = { readonly domain: string; readonly server: string; readonly number: bigint };

const GTID = /^(\d+)-(\d+)-(\d+)$/;

/** Throws on anything but `0-1-25`. */
export function parseMariadbGtid(text: string): MariadbGtid {
  const match = GTID.exec(text.trim());
  if (!match) throw new Error(`Not a GTID: ${text.slice(0, 200)}`);
  return { domain: match[1] ?? '', server: match[2] ?? '', number: BigInt(match[3] ?? 0) };
}

/**
 * Where a log of MariaDB stands: the last transaction of every domain, as in `@@gtid_binlog_pos`, and beside it the greatest number of
 * every server in every domain, as in `@@gtid_binlog_state`: numbers of different servers need not rise in log order.
 */
export class GtidPosition {
  private readonly last = new Map<string, MariadbGtid>();
  private readonly greatest = new Map<string, bigint>();

  static parse(text: string): GtidPosition {
    const position = new GtidPosition();
    for (const part of text.split(',')) if (part.trim() !== '') position.add(part);
    return position;
  }

  add(gtid: string): void {
    const parsed = parseMariadbGtid(gtid);
    this.last.set(parsed.domain, parsed);
    this.note(gtid);
  }

  /** Remembers a server's number without taking it for the domain's last transaction. */
  note(gtid: string): void {
    const parsed = parseMariadbGtid(gtid);
    const key = `${parsed.domain}-${parsed.server}`;
    const known = this.greatest.get(key);
    if (known === undefined || known < parsed.number) this.greatest.set(key, parsed.number);
  }

  /** True when a transaction of the same domain with this number or a later one was added. */
  reaches(gtid: string): boolean {
    const { domain, number } = parseMariadbGtid(gtid);
    const last = this.last.get(domain);
    return last !== undefined && last.number >= number;
  }

  /** True when this server's transactions of the domain were seen up to this number. */
  knows(gtid: string): boolean {
    const { domain, server, number } = parseMariadbGtid(gtid);
    return (this.greatest.get(`${domain}-${server}`) ?? -1n) >= number;
  }

  copy(): GtidPosition {
    const position = new GtidPosition();
    for (const [key, gtid] of this.last) position.last.set(key, gtid);
    for (const [key, number] of this.greatest) position.greatest.set(key, number);
    return position;
  }

  /** The last transaction of every domain. */
  list(): string[] {
    return [...this.last.values()]
      .sort((a, b) => Number(a.domain) - Number(b.domain))
      .map(({ domain, server, number }) => `${domain}-${server}-${number}`);
  }

  /** As the server prints a position. */
  toString(): string {
    return this.list().join(',');
  }
}
