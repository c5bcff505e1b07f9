import type { Writable } from 'node:stream';
import { Duplex, Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import { FRAME_BYTES } from './pack-frames.js';
import { FrameSplitter } from './split-frames.js';

const CHUNK_BYTES = 256 * 1024;

/** Frames being decompressed at the same time, each on a thread of libuv's. */
const FRAMES_IN_FLIGHT = 2;

/**
 * Decompresses zstd frames that follow one another. Those of our own making are taken whole, two at a time, each in one trip to a thread:
 * piece by piece the stream stood still between the trips, and the restore of a server took more than twice its time. Larger frames and
 * those that do not tell their size go through a stream, with memory for a few pieces.
 *
 * Throws zstd's error when the bytes are none of its own or end inside a frame.
 */
export async function* unpackFrames(stored: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const splitter = new FrameSplitter(FRAME_BYTES);
  const inFlight: Promise<Buffer>[] = [];
  const chunks = stored[Symbol.asyncIterator]();
  try {
    for (;;) {
      for (let frame = splitter.next(); frame !== null; frame = splitter.next()) {
        const unpacked = unpackWhole(frame.packed, frame.bytes);
        // Awaited in its turn; until then a rejection must not count as unhandled.
        unpacked.catch(() => {});
        inFlight.push(unpacked);
        if (inFlight.length >= FRAMES_IN_FLIGHT) yield await (inFlight.shift() as Promise<Buffer>);
      }
      const step = splitter.isForeign ? null : await chunks.next();
      if (step === null || step.done) break;
      splitter.push(step.value);
    }
    while (inFlight.length > 0) yield await (inFlight.shift() as Promise<Buffer>);
    const rest = splitter.rest();
    if (rest.length === 0 && !splitter.isForeign) return;
    yield* unpackStream(rest, chunks);
  } finally {
    await chunks.return?.();
  }
}

function unpackWhole(packed: Buffer, bytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // With room to spare it knows after one trip that nothing more comes.
    const unpacker = createZstdDecompress({ chunkSize: bytes + 64 });
    const pieces: Buffer[] = [];
    unpacker.on('data', (piece: Buffer) => pieces.push(piece));
    unpacker.once('error', reject);
    unpacker.write(packed, (error) => {
      if (error) return reject(error);
      // What is not handed out yet comes as one more `data`.
      if (unpacker.readableLength > 0) unpacker.read();
      unpacker.destroy();
      const whole = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
      if (whole.length === bytes) resolve(whole);
      else reject(new Error(`a frame held ${whole.length} bytes where it announced ${bytes}`));
    });
  });
}

async function* unpackStream(first: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  async function* all() {
    yield first;
    for (let step = await chunks.next(); !step.done; step = await chunks.next()) yield step.value;
  }
  const source = Readable.from(all(), { highWaterMark: 1 });
  const unpacker = new FrameUnpacker();
  source.once('error', (error) => unpacker.destroy(error));
  source.pipe(unpacker);
  try {
    for await (const piece of unpacker as AsyncIterable<Buffer>) yield piece;
  } finally {
    source.destroy();
  }
}

/**
 * The same as a stream, frame by frame and piece by piece. Node's own stream ends quietly after a frame whose end lies inside a chunk
 * and drops what comes after it; here another one takes over with the rest.
 */
class FrameUnpacker extends Duplex {
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
