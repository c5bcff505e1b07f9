import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isOfThisBoot, markBoot } from '../../shared/boot-mark.js';
import type { Segment } from './wal-names.js';
import {
  findSwitchPoint,
  historyName,
  parseHistoryName,
  parseSegmentName,
  segmentName,
  segmentOf,
} from './wal-names.js';

const PARTIAL = '.partial';

export type SpoolFile = Segment & { readonly name: string; readonly partial: boolean };

/** Where a timeline was left for which other one, as a history file in the spool tells. */
export type TimelineSwitch = { readonly timeline: number; readonly lsn: bigint };

/** What lies in the spool at one moment. */
export type SpoolListing = {
  /** By segment, then timeline: the last one is where the receiver goes on. */
  readonly files: readonly SpoolFile[];
  readonly bytes: number;
  has(segment: Segment, partial: boolean): boolean;
  findSwitch(timeline: number): TimelineSwitch | null;
};

/**
 * The folder into which the receiver writes: whole segments, the one under way as `….partial`, timeline histories. As `pg_receivewal` would,
 * but that a partial one has no padding.
 */
export class Spool {
  readonly dir: string;
  readonly segmentBytes: number;
  /** Histories are written once and never change. */
  private readonly histories = new Map<number, string>();

  constructor(dir: string, segmentBytes: number) {
    this.dir = dir;
    this.segmentBytes = segmentBytes;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  name(segment: Segment, partial: boolean): string {
    return segmentName(segment, this.segmentBytes) + (partial ? PARTIAL : '');
  }

  async list(): Promise<SpoolListing> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    const files: SpoolFile[] = [];
    let bytes = 0;
    for (const name of await readdir(this.dir)) {
      const size = await stat(this.path(name)).then(
        (found) => found.size,
        // Renamed or removed since it was listed.
        () => null,
      );
      if (size === null) continue;
      bytes += size;
      const partial = name.endsWith(PARTIAL);
      const segment = parseSegmentName(partial ? name.slice(0, -PARTIAL.length) : name, this.segmentBytes);
      if (segment) files.push({ ...segment, name, partial });
      const history = parseHistoryName(name);
      if (history !== null && !this.histories.has(history))
        this.histories.set(history, await readFile(this.path(name), 'utf8'));
    }
    files.sort((a, b) => (a.number === b.number ? a.timeline - b.timeline : a.number < b.number ? -1 : 1));
    return {
      files,
      bytes,
      has: (segment, partial) =>
        files.some(
          (file) => file.number === segment.number && file.timeline === segment.timeline && file.partial === partial,
        ),
      findSwitch: (timeline) => {
        for (const next of [...this.histories.keys()].sort((a, b) => a - b)) {
          if (next <= timeline) continue;
          const lsn = findSwitchPoint(this.histories.get(next) ?? '', timeline);
          if (lsn !== null) return { timeline: next, lsn };
        }
        return null;
      },
    };
  }

  /** Null while the receiver has not fetched it. */
  readHistory(timeline: number): Buffer | null {
    const text = this.histories.get(timeline);
    return text === undefined ? null : Buffer.from(text, 'utf8');
  }

  /** Exactly the bytes from `from` to `to`. Throws when the file is shorter. */
  async read(name: string, from: number, to: number): Promise<Buffer> {
    const file = await open(this.path(name), 'r');
    try {
      const body = Buffer.allocUnsafe(to - from);
      for (let done = 0; done < body.length; ) {
        const { bytesRead } = await file.read(body, done, body.length - done, from + done);
        if (bytesRead === 0) throw new Error(`${name} ends before byte ${to}`);
        done += bytesRead;
      }
      return body;
    } finally {
      await file.close();
    }
  }

  /** SHA-256 of the first `to` bytes, to be gone on with. */
  async hashPrefix(name: string, to: number): Promise<ReturnType<typeof createHash>> {
    const hash = createHash('sha256');
    if (to === 0) return hash;
    for await (const piece of createReadStream(this.path(name), { end: to - 1 })) hash.update(piece as Buffer);
    return hash;
  }

  /**
   * Makes the receiver start with `first`. Content in the spool is kept when it goes on from there without a hole and was written since the
   * machine started; otherwise all of it is removed: the receiver goes on after the highest file it finds, whatever is missing before. An
   * empty `….partial` makes it start at the beginning of exactly that segment.
   */
  async prepare(first: Segment): Promise<void> {
    const listing = await this.list();
    for (const file of listing.files) {
      if (file.number < first.number || (file.number === first.number && file.timeline < first.timeline))
        await rm(this.path(file.name), { force: true });
    }
    if (!(await isOfThisBoot(this.dir)) || !this.goesOn(await this.list(), first)) await this.clear();
    await markBoot(this.dir);
    await this.seed(first);
  }

  /** Tells the receiver where to start when the spool does not. */
  async seed(first: Segment): Promise<void> {
    if ((await this.list()).files.length === 0) await writeFile(this.path(this.name(first, true)), '', { mode: 0o600 });
  }

  private goesOn(listing: SpoolListing, first: Segment): boolean {
    if (!listing.has(first, false) && !listing.has(first, true)) return false;
    let at = first;
    for (;;) {
      if (listing.has(at, false)) at = { ...at, number: at.number + 1n };
      else {
        const left = listing.findSwitch(at.timeline);
        if (left === null) break;
        const next = segmentOf(left.timeline, left.lsn, this.segmentBytes);
        if (next.number !== at.number) break;
        at = next;
      }
    }
    const last = listing.files.at(-1);
    return (
      last !== undefined && (last.number < at.number || (last.number === at.number && last.timeline <= at.timeline))
    );
  }

  /** Where the receiver will start; null for an empty spool. */
  async receivesFrom(): Promise<Segment | null> {
    const last = (await this.list()).files.at(-1);
    return last === undefined
      ? null
      : { timeline: last.timeline, number: last.partial ? last.number : last.number + 1n };
  }

  /** Makes the receiver go on with a later timeline, which begins with `first`. */
  async switchTo(first: Segment, history: string): Promise<void> {
    await this.writeHistory(first.timeline, history);
    await writeFile(this.path(this.name(first, true)), '', { mode: 0o600 });
  }

  async hasHistory(timeline: number): Promise<boolean> {
    await this.list();
    return this.histories.has(timeline);
  }

  async writeHistory(timeline: number, history: string): Promise<void> {
    // Renamed into place: the reader takes a history that is there for a whole one.
    const name = historyName(timeline);
    await writeFile(this.path(`${name}.new`), history, { mode: 0o600 });
    await rename(this.path(`${name}.new`), this.path(name));
  }

  /** Removes segments before `shipped`, and itself when it is whole; never the newest file, from which the receiver finds its way. */
  async prune(shipped: Segment, whole: boolean): Promise<void> {
    const { files } = await this.list();
    for (const file of files.slice(0, -1)) {
      const before =
        file.number < shipped.number || (file.number === shipped.number && file.timeline < shipped.timeline);
      const same = file.number === shipped.number && file.timeline === shipped.timeline;
      if (before || (same && whole && !file.partial)) await rm(this.path(file.name), { force: true });
    }
  }

  async clear(): Promise<void> {
    this.histories.clear();
    for (const name of await readdir(this.dir)) await rm(this.path(name), { force: true, recursive: true });
  }
}
