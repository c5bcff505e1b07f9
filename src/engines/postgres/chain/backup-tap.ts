import { createHash } from 'node:crypto';
import type { TransformCallback } from 'node:stream';
import { Transform } from 'node:stream';

const BLOCK = 512;

/** A manifest names each file of the cluster in about 150 bytes; more than this is refused rather than held in memory. */
const MAX_MANIFEST_BYTES = 512 * 1024 * 1024;

const MANIFEST = 'backup_manifest';
const SEGMENT = /^pg_wal\/[0-9A-F]{24}$/;

/** Where the log of a backup begins and ends, as `backup_manifest` says. */
export type BackupRange = { readonly timeline: number; readonly start: string; readonly end: string };

/**
 * Reads the end of a `backup_manifest`: the ranges of WAL that its backup needs, the last one last. Throws when its own checksum is
 * wrong or the ranges are missing. The list of files is not parsed: it may be long, and pg_verifybackup reads it.
 */
export function readManifestRanges(manifest: Buffer): readonly BackupRange[] {
  const text = manifest.toString('latin1', Math.max(0, manifest.length - 64 * 1024));
  const checksum = /"Manifest-Checksum": "([0-9a-f]{64})"\s*\}\s*$/.exec(text)?.[1];
  const covered = manifest.lastIndexOf('"Manifest-Checksum"');
  if (checksum === undefined || covered < 0) throw new Error('the backup manifest has no checksum');
  if (createHash('sha256').update(manifest.subarray(0, covered)).digest('hex') !== checksum)
    throw new Error('the checksum of the backup manifest is wrong');
  const ranges = /"WAL-Ranges": (\[[^\]]*\])/.exec(text)?.[1];
  const parsed = ranges === undefined ? [] : (JSON.parse(ranges) as Record<string, string | number>[]);
  const found = parsed
    .map((range) => ({
      timeline: Number(range.Timeline),
      start: String(range['Start-LSN']),
      end: String(range['End-LSN']),
    }))
    .sort((a, b) => a.timeline - b.timeline);
  if (found.length === 0) throw new Error('the backup manifest names no range of WAL');
  return found;
}

/**
 * Passes the tar of a base backup on and looks at its headers only: finds `backup_manifest`, which the tool writes last, and tells when
 * the first WAL segment passes, because the server has ended the backup by then. Costs next to nothing per gigabyte.
 */
export class BackupTap extends Transform {
  private header: Buffer = Buffer.alloc(0);
  /** Bytes of the present entry that are still to come, its padding included. */
  private left = 0;
  private entry = '';
  private entryBytes = 0;
  private kept: Buffer[] = [];
  private ended = false;
  private body: Buffer | null = null;
  private passed = false;
  private readonly tell: { onFirstBytes?(): void; onLog?(): void };

  constructor(tell: { onFirstBytes?(): void; onLog?(): void } = {}) {
    // Chunk by chunk: whoever reads a stream of bytes gets all that waits joined into a new buffer.
    super({ writableHighWaterMark: 1024 * 1024, readableObjectMode: true, readableHighWaterMark: 1 });
    this.tell = tell;
  }

  /** The file, once it has passed whole. */
  get manifest(): Buffer | null {
    return this.body;
  }

  /** What a whole backup still lacks. */
  missing(): string | null {
    if (this.body === null) return 'it has no backup_manifest';
    return this.ended ? null : 'its tar has no end';
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    // Nothing: the question whether all before it has been seen.
    if (chunk.length === 0) {
      done();
      return;
    }
    try {
      if (!this.passed) {
        this.passed = true;
        this.tell.onFirstBytes?.();
      }
      this.scan(chunk);
      done(null, chunk);
    } catch (error) {
      done(error as Error);
    }
  }

  private scan(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.ended) {
      if (this.left > 0) {
        const take = Math.min(this.left, chunk.length - at);
        // Copied: the chunk's buffer is used again.
        if (this.entry === MANIFEST) this.kept.push(Buffer.from(chunk.subarray(at, at + take)));
        this.left -= take;
        at += take;
        if (this.left === 0) this.endEntry();
        continue;
      }
      const take = Math.min(BLOCK - this.header.length, chunk.length - at);
      const part = chunk.subarray(at, at + take);
      at += take;
      this.header = this.header.length === 0 && take === BLOCK ? part : Buffer.concat([this.header, part]);
      if (this.header.length < BLOCK) continue;
      this.startEntry(this.header);
      this.header = Buffer.alloc(0);
    }
  }

  private startEntry(header: Buffer): void {
    if (header[0] === 0) {
      this.ended = true;
      return;
    }
    if (header.toString('latin1', 257, 262) !== 'ustar') throw new Error('a header of the tar is broken');
    this.entry = header.toString('utf8', 0, header.indexOf(0)).replace(/^\.\//, '');
    this.entryBytes = readNumber(header.subarray(124, 136));
    this.left = Math.ceil(this.entryBytes / BLOCK) * BLOCK;
    if (SEGMENT.test(this.entry)) this.tell.onLog?.();
    if (this.entry === MANIFEST && this.entryBytes > MAX_MANIFEST_BYTES)
      throw new Error('the backup manifest is too large');
    if (this.left === 0) this.endEntry();
  }

  private endEntry(): void {
    if (this.entry === MANIFEST) this.body = Buffer.concat(this.kept).subarray(0, this.entryBytes);
    this.kept = [];
    this.entry = '';
  }
}

/** Octal text, or base 256 with the first bit set (tar's way for more than 8 GiB). */
function readNumber(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(field.toString('latin1').replaceAll('\0', ' '), 8) || 0;
  let value = 0;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  return value;
}
