import type { Writable } from 'node:stream';

const BATCH_BYTES = 1024 * 1024;

/**
 * Writes chunks into a stream in batches of 1 MiB and ends it. A pipe gives 64 KiB at a time, and each write to a compressor is a trip to
 * another thread and back: on a busy machine the trips took longer than the compression. Two buffers are used in turn, one is filled
 * while the other is written; the stream must not keep what it was given after its callback. Destroys the stream when the source fails.
 */
export async function feedInBatches(chunks: AsyncIterable<Buffer>, stream: Writable): Promise<void> {
  const buffers: [Buffer, Buffer] = [Buffer.allocUnsafeSlow(BATCH_BYTES), Buffer.allocUnsafeSlow(BATCH_BYTES)];
  let current: 0 | 1 = 0;
  let filled = 0;
  let writing: Promise<void> = Promise.resolve();
  // A write into a stream that is then destroyed may never be answered.
  const closed = new Promise<never>((_resolve, reject) => {
    stream.once('close', () => reject(new Error('The stream was closed.')));
  });
  closed.catch(() => {});

  const flush = async () => {
    const batch = buffers[current].subarray(0, filled);
    current = current === 0 ? 1 : 0;
    filled = 0;
    await Promise.race([writing, closed]);
    writing = new Promise((resolve, reject) => {
      stream.write(batch, (error) => (error ? reject(error) : resolve()));
    });
    writing.catch(() => {});
  };

  try {
    for await (const chunk of chunks) {
      for (let offset = 0; offset < chunk.length; ) {
        const copied = chunk.copy(buffers[current], filled, offset);
        offset += copied;
        filled += copied;
        if (filled === BATCH_BYTES) await flush();
      }
    }
    if (filled > 0) await flush();
    await Promise.race([writing, closed]);
    stream.end();
  } catch (error) {
    stream.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}
