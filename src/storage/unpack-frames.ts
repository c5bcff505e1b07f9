import type { Readable, Writable } from 'node:stream';
import { Duplex } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';

const CHUNK_BYTES = 256 * 1024;

/**
 * Decompresses zstd frames that follow one another. Node's own stream ends quietly after a frame whose end lies inside a chunk
 * and drops what comes after it; here another one takes over with the rest.
 *
 * Destroyed with zstd's error when the bytes are none of its own or end inside a frame.
 */
export class FrameUnpacker extends Duplex {
  private inner: Readable & Writable & { readonly bytesWritten: number };

  constructor() {
    super({ readableHighWaterMark: 1024 * 1024, writableHighWaterMark: 1024 * 1024 });
    this.inner = this.open();
  }

  override _read(): void {
    this.inner.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const { inner } = this;
    const before = inner.bytesWritten;
    inner.write(chunk, (error) => {
      if (error) return callback(error);
      const rest = chunk.subarray(inner.bytesWritten - before);
      if (rest.length === 0) return callback();
      // What the ended frame still holds goes out first.
      const next = () => {
        this.inner = this.open();
        this._write(rest, 'buffer' as BufferEncoding, callback);
      };
      if (inner.readableEnded) next();
      else inner.once('end', next);
      inner.resume();
    });
  }

  override _final(callback: (error?: Error | null) => void): void {
    const { inner } = this;
    inner.once('end', () => {
      this.push(null);
      callback();
    });
    inner.end();
    inner.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.inner.destroy();
    callback(error);
  }

  private open(): FrameUnpacker['inner'] {
    const inner = createZstdDecompress({ chunkSize: CHUNK_BYTES });
    inner.on('data', (piece: Buffer) => {
      if (!this.push(piece)) inner.pause();
    });
    inner.once('error', (error) => this.destroy(error));
    return inner;
  }
}
