import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';

/** Counts and hashes (SHA-256) what passes, unchanged. */
export class MeasuringStream extends Transform {
  bytes = 0;
  private readonly hash = createHash('sha256');

  constructor() {
    // Chunk by chunk: whoever reads a stream of bytes gets all that waits joined into a new buffer.
    super({ readableObjectMode: true, readableHighWaterMark: 4, writableHighWaterMark: 1024 * 1024 });
  }

  /** Hex; once, after the end. */
  sha256(): string {
    return this.hash.digest('hex');
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: (error: null, chunk: Buffer) => void): void {
    this.bytes += chunk.length;
    this.hash.update(chunk);
    callback(null, chunk);
  }
}
