import type { TransformCallback } from 'node:stream';
import { Transform } from 'node:stream';

/** One entry of an archive's table of contents; `definition` is kept for `SEQUENCE SET` alone. */
export type ArchiveEntry = {
  readonly id: number;
  readonly type: string;
  readonly schema: string | null;
  readonly name: string;
  readonly hasData: boolean;
  readonly definition: string | null;
};

/** Thrown when the bytes are not a pg_dump custom-format archive. */
export class ArchiveFormatError extends Error {}

const BLOCK_DATA = 1;
const BLOCK_LARGE_OBJECTS = 3;
const FORMAT_CUSTOM = 1;
/** No text of a table of contents is larger than PostgreSQL's own limit for a value. */
const MAX_TEXT = 1024 * 1024 * 1024;

/**
 * Follows the framing of a pg_dump custom-format archive (versions 1.14 to 1.16: pg_dump 12 to 18) as it streams by, without keeping its data.
 *
 * An archive written to a pipe has no end marker, and an exit code says nothing about what happened between pg_dump and us. But
 * each table of the contents whose data must follow has a block with a terminator: when every such block was closed and nothing is
 * left over, the archive is whole. Source of the layout: PostgreSQL's pg_backup_archiver.c and pg_backup_custom.c.
 */
export class ArchiveScanner {
  /** The table of contents, once it has been read. */
  entries: readonly ArchiveEntry[] | null = null;
  private readonly contents = this.readContents();
  private wanted = 0;
  private head: Buffer = Buffer.alloc(0);
  private intSize = 4;
  private mode: 'contents' | 'block' | 'length' | 'bytes' | 'object' = 'contents';
  private pending: Buffer = Buffer.alloc(0);
  private remaining = 0;
  private current = 0;
  private inLargeObjects = false;
  private readonly open = new Set<number>();

  constructor() {
    const first = this.contents.next();
    if (!first.done) this.wanted = first.value;
  }

  /** Takes the next bytes. Throws ArchiveFormatError. */
  feed(chunk: Buffer): void {
    let data = chunk;
    if (this.mode === 'contents') {
      this.head = this.head.length === 0 ? chunk : Buffer.concat([this.head, chunk]);
      let at = 0;
      while (this.mode === 'contents' && this.head.length - at >= this.wanted) {
        const taken = this.head.subarray(at, at + this.wanted);
        at += this.wanted;
        const step = this.contents.next(taken);
        if (step.done) {
          this.entries = step.value;
          for (const entry of step.value) if (entry.hasData) this.open.add(entry.id);
          this.mode = 'block';
        } else this.wanted = step.value;
      }
      data = this.head.subarray(at);
      if (this.mode === 'contents') {
        // A copy: the chunk's buffer is filled again.
        this.head = Buffer.from(data);
        return;
      }
      this.head = Buffer.alloc(0);
    }
    this.followBlocks(data);
  }

  /** What is missing for the archive to be whole, as one phrase, or null when it is whole. */
  missing(): string | null {
    if (this.entries === null) return 'its table of contents is cut off';
    if (this.mode !== 'block' || this.pending.length > 0) return 'it ends inside a block of data';
    if (this.open.size === 0) return null;
    const first = this.entries.find((entry) => this.open.has(entry.id));
    return `the data of ${this.open.size} entries is missing, the first is ${first?.type} ${first?.name}`;
  }

  private followBlocks(data: Buffer): void {
    let at = 0;
    while (at < data.length) {
      if (this.mode === 'bytes') {
        const step = Math.min(this.remaining, data.length - at);
        at += step;
        this.remaining -= step;
        if (this.remaining === 0) this.mode = 'length';
        continue;
      }
      const size = (this.mode === 'block' ? 1 : 0) + 1 + this.intSize;
      let from = data;
      let start = at;
      if (this.pending.length > 0 || data.length - at < size) {
        const more = data.subarray(at, at + size - this.pending.length);
        this.pending = Buffer.concat([this.pending, more]);
        at += more.length;
        if (this.pending.length < size) return;
        from = this.pending;
        start = 0;
        this.pending = Buffer.alloc(0);
      } else at += size;
      this.header(from, start);
    }
  }

  private header(from: Buffer, start: number): void {
    if (this.mode === 'block') {
      const kind = from[start];
      if (kind !== BLOCK_DATA && kind !== BLOCK_LARGE_OBJECTS)
        throw new ArchiveFormatError(`unknown block type ${kind}`);
      this.inLargeObjects = kind === BLOCK_LARGE_OBJECTS;
      this.current = this.int(from, start + 1);
      if (!this.open.has(this.current)) throw new ArchiveFormatError(`unexpected data block ${this.current}`);
      this.mode = this.inLargeObjects ? 'object' : 'length';
      return;
    }
    const value = this.int(from, start);
    if (value < 0) throw new ArchiveFormatError('a negative length');
    if (this.mode === 'object') {
      if (value === 0) this.closeBlock();
      else this.mode = 'length';
    } else if (value > 0) {
      this.remaining = value;
      this.mode = 'bytes';
    } else if (this.inLargeObjects) this.mode = 'object';
    else this.closeBlock();
  }

  private closeBlock(): void {
    this.open.delete(this.current);
    this.mode = 'block';
  }

  private int(from: Buffer, start: number): number {
    const value = from.readUIntLE(start + 1, Math.min(this.intSize, 6));
    return from[start] === 0 ? value : -value;
  }

  /** Yields how many bytes it wants next. */
  private *readContents(): Generator<number, ArchiveEntry[], Buffer> {
    const scanner = this;
    function* int(): Generator<number, number, Buffer> {
      return scanner.int(yield 1 + scanner.intSize, 0);
    }
    function* text(): Generator<number, string | null, Buffer> {
      const length = yield* int();
      if (length < 0) return null;
      if (length > MAX_TEXT) throw new ArchiveFormatError('a text of impossible length');
      return length === 0 ? '' : (yield length).toString('utf8');
    }
    const start = yield 11;
    if (start.toString('latin1', 0, 5) !== 'PGDMP') throw new ArchiveFormatError('not a PostgreSQL archive');
    const version = (start[5] ?? 0) * 100 + (start[6] ?? 0);
    if (version < 114 || version > 116) throw new ArchiveFormatError(`unknown archive version ${start[5]}.${start[6]}`);
    this.intSize = start[8] ?? 0;
    const offsetSize = start[9] ?? 0;
    if (this.intSize !== 4 || offsetSize > 8 || start[10] !== FORMAT_CUSTOM)
      throw new ArchiveFormatError('not in the custom format');
    // Compression: an algorithm since 1.15, a level before. Then the time in seven numbers, database, server and tool version.
    if (version >= 115) yield 1;
    else yield* int();
    for (let i = 0; i < 7; i++) yield* int();
    for (let i = 0; i < 3; i++) yield* text();
    const count = yield* int();
    const entries: ArchiveEntry[] = [];
    for (let i = 0; i < count; i++) {
      const id = yield* int();
      const hasData = (yield* int()) !== 0;
      yield* text();
      yield* text();
      const name = (yield* text()) ?? '';
      const type = (yield* text()) ?? '';
      yield* int();
      const definition = yield* text();
      yield* text();
      yield* text();
      const schema = yield* text();
      yield* text();
      yield* text();
      if (version >= 116) yield* int();
      yield* text();
      yield* text();
      while ((yield* text()) !== null);
      yield 1 + offsetSize;
      entries.push({ id, type, schema, name, hasData, definition: type === 'SEQUENCE SET' ? definition : null });
    }
    return entries;
  }
}

/** Passes an archive through unchanged while a scanner follows it. A byte that cannot be part of an archive is an error at once. */
export class ArchiveTap extends Transform {
  readonly scanner = new ArchiveScanner();
  private readonly onContents: (entries: readonly ArchiveEntry[]) => void;
  private told = false;

  constructor(onContents: (entries: readonly ArchiveEntry[]) => void = () => {}) {
    // Chunk by chunk: whoever reads a stream of bytes gets all that waits joined into a new buffer.
    super({ writableHighWaterMark: 1024 * 1024, readableObjectMode: true, readableHighWaterMark: 1 });
    this.onContents = onContents;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.scanner.feed(chunk);
      if (!this.told && this.scanner.entries !== null) {
        this.told = true;
        this.onContents(this.scanner.entries);
      }
      // Nothing: the question whether all before it has been seen.
      if (chunk.length === 0) done();
      else done(null, chunk);
    } catch (error) {
      done(error as Error);
    }
  }
}
