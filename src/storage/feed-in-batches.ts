import type { Writable } from 'node:stream';

const BATCH_BYTES = 1024 * 1024;
/** Chunks from this size on are written as they are: copying them would cost more than it saves. */
const LARGE_BYTES = BATCH_BYTES / 2;

/**
 * Writes chunks into a stream in batches of about 1 MiB and ends it. Each write to a compressor is a trip to another thread and back: on
 * a busy machine, trips with the few KiB that a pipe gives took longer than the compression. Small chunks are gathered in two buffers,
 * one is filled while the other is written; the stream must not keep what it was given after its callback. `release` is told of each
 * chunk that is not needed any more. Destroys the stream when the source fails.
 */
export async function feedInBatches(
  chunks: AsyncIterable<Buffer>,
  stream: Writable,
  release: (chunk: Buffer) => void = () => {},
): Promise<void> {
  const writer = new Writer(stream);
  let buffers: [Buffer, Buffer] | null = null;
  let current: 0 | 1 = 0;
  let filled = 0;

  const flush = async () => {
    if (buffers === null || filled === 0) return;
    const batch = buffers[current].subarray(0, filled);
    current = current === 0 ? 1 : 0;
    filled = 0;
    await writer.write(batch, () => {});
  };

  try {
    for await (const chunk of chunks) {
      if (chunk.length >= LARGE_BYTES) {
        await flush();
        await writer.write(chunk, () => release(chunk));
        continue;
      }
      buffers ??= [Buffer.allocUnsafeSlow(BATCH_BYTES), Buffer.allocUnsafeSlow(BATCH_BYTES)];
      for (let offset = 0; offset < chunk.length; ) {
        const copied = chunk.copy(buffers[current], filled, offset);
        offset += copied;
        filled += copied;
        if (filled === BATCH_BYTES) await flush();
      }
      release(chunk);
    }
    await flush();
    await writer.idle();
    stream.end();
  } catch (error) {
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

/** One write at a time: the next one waits for it, so that its buffer's owner can prepare another meanwhile. */
class Writer {
  private readonly stream: Writable;
  private writing: Promise<void> = Promise.resolve();
  private settle: (error?: Error | null) => void = () => {};

  constructor(stream: Writable) {
    this.stream = stream;
    // A write into a stream that is then destroyed may never be answered.
    stream.once('close', () => this.settle(new Error('The stream was closed.')));
  }

  /** Resolves when the write has begun; `written` is called when the stream does not need the chunk any more. */
  async write(chunk: Buffer, written: () => void): Promise<void> {
    await this.writing;
    if (this.stream.closed) throw new Error('The stream was closed.');
    this.writing = new Promise((resolve, reject) => {
      this.settle = (error) => (error ? reject(error) : resolve());
      this.stream.write(chunk, (error) => {
        if (!error) written();
        this.settle(error);
      });
    });
    // Awaited before the next write; until then a rejection must not count as unhandled.
    this.writing.catch(() => {});
  }

  async idle(): Promise<void> {
    await this.writing;
  }
}
