const MAGIC = 0xfd2fb528;
/** Magic number, descriptor, window, dictionary and content size at their longest. */
const MAX_HEADER_BYTES = 18;
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const BLOCK_HEADER_BYTES = 3;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

type FrameHeader = {
  readonly headerBytes: number;
  /** Of the content. */
  readonly bytes: number;
  readonly checksumBytes: number;
};

/**
 * Finds where zstd frames end (RFC 8878, section 3.1.1) without decompressing them, in chunks of any size. Gives out only frames that tell
 * the size of their content and hold at most `maxBytes`; with the first other one it stops, and `rest` begins with it.
 */
export class FrameSplitter {
  /** What comes next is no frame that can be taken whole. */
  isForeign = false;
  private readonly maxBytes: number;
  private readonly chunks: Buffer[] = [];
  private buffered = 0;
  private header: FrameHeader | null = null;
  /** Of the frame, to the end of the last block that was seen. */
  private scanned = 0;
  private isLastSeen = false;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.buffered += chunk.length;
  }

  /** The next whole frame; null until more has been pushed, and for ever once `isForeign`. */
  next(): { readonly packed: Buffer; readonly bytes: number } | null {
    if (this.isForeign) return null;
    this.header ??= this.readHeader();
    const { header } = this;
    if (header === null) return null;
    this.scanned ||= header.headerBytes;
    while (!this.isLastSeen) {
      const head = this.peek(this.scanned, BLOCK_HEADER_BYTES);
      if (head === null) return null;
      const block = head.readUIntLE(0, BLOCK_HEADER_BYTES);
      const type = (block >> 1) & 3;
      this.isLastSeen = (block & 1) === 1;
      this.scanned += BLOCK_HEADER_BYTES + (type === RLE_BLOCK ? 1 : block >> 3);
      // What packs is never much larger than what it holds: this is no frame, or none to be held in memory.
      if (type === RESERVED_BLOCK || this.scanned > 2 * this.maxBytes) {
        this.isForeign = true;
        return null;
      }
    }
    const end = this.scanned + header.checksumBytes;
    if (this.buffered < end) return null;
    this.header = null;
    this.scanned = 0;
    this.isLastSeen = false;
    return { packed: this.take(end), bytes: header.bytes };
  }

  /** Everything that was pushed and not given out. */
  rest(): Buffer {
    return this.take(this.buffered);
  }

  private readHeader(): FrameHeader | null {
    const start = this.peek(0, Math.min(MAX_HEADER_BYTES, this.buffered));
    if (start === null || start.length < 5) return null;
    const descriptor = start[4] as number;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >> 6;
    const sizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag;
    const at = 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_BYTES[descriptor & 3] as number);
    if (start.readUInt32LE(0) !== MAGIC || sizeBytes === 0) {
      this.isForeign = true;
      return null;
    }
    if (start.length < at + sizeBytes) return null;
    const bytes = readSize(start.subarray(at, at + sizeBytes));
    if (bytes > this.maxBytes) {
      this.isForeign = true;
      return null;
    }
    return { headerBytes: at + sizeBytes, bytes, checksumBytes: (descriptor & 4) !== 0 ? 4 : 0 };
  }

  /** `count` bytes from an offset on; null when they are not there yet. */
  private peek(offset: number, count: number): Buffer | null {
    if (this.buffered < offset + count) return null;
    let at = offset;
    for (const [index, chunk] of this.chunks.entries()) {
      if (at >= chunk.length) {
        at -= chunk.length;
        continue;
      }
      if (chunk.length - at >= count) return chunk.subarray(at, at + count);
      return Buffer.concat(this.chunks.slice(index)).subarray(at, at + count);
    }
    return Buffer.alloc(0);
  }

  private take(count: number): Buffer {
    const parts: Buffer[] = [];
    let left = count;
    while (left > 0) {
      const chunk = this.chunks[0] as Buffer;
      if (chunk.length <= left) {
        parts.push(chunk);
        this.chunks.shift();
        left -= chunk.length;
      } else {
        parts.push(chunk.subarray(0, left));
        this.chunks[0] = chunk.subarray(left);
        left = 0;
      }
    }
    this.buffered -= count;
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }
}

function readSize(field: Buffer): number {
  if (field.length === 8) return Number(field.readBigUInt64LE(0));
  // Two bytes count from 256 on.
  return field.readUIntLE(0, field.length) + (field.length === 2 ? 256 : 0);
}
