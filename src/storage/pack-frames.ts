import { constants, createZstdCompress } from 'node:zlib';

const COMPRESSION_LEVEL = 3;

/** Frames being compressed at the same time, each on a thread of libuv's: one more than is taken from, so that none waits for the event loop. */
const FRAMES_IN_FLIGHT = 2;

/** Size of a frame before compression, in bytes: twice what level 3 looks back, so that starting anew costs about 1 % of the stored size. */
export const FRAME_BYTES = 4 * 1024 * 1024;

/** Chunks from this size on become a frame as they are: copying them would cost more than it saves. */
const LARGE_BYTES = FRAME_BYTES / 2;

/** What a frame of incompressible bytes needs beyond them, and more: with less room zstd copies its input and takes several trips. */
const FRAME_ROOM = FRAME_BYTES / 128;

/**
 * Room for the output of many frames. Room for one each was 4 MiB of memory for a few hundred KiB, and so much memory made V8 collect
 * twice as often: a tenth of the processor time of a full of PostgreSQL.
 */
const OUTPUT_BYTES = 4 * FRAME_BYTES;

type Frame = { readonly packed: Promise<Buffer>; readonly done: () => void };

/**
 * Compresses chunks into zstd frames of 2 to 4 MiB, one after the other: together they are a zstd file like any other (`zstd -d`).
 *
 * Not one long frame: a stream compressor of Node's has one chunk on its thread and none waiting, so it stood still for as long as the event
 * loop did anything else, and zstd works slower on what comes piece by piece than on memory that lies in one piece. Small chunks
 * are gathered in buffers that are used again; `release` is told of each chunk that is not needed any more.
 */
export async function* packFrames(
  chunks: AsyncIterable<Buffer>,
  release: (chunk: Buffer) => void = () => {},
): AsyncGenerator<Buffer> {
  const inFlight: Frame[] = [];
  const packers: FramePacker[] = [];
  const idle: FramePacker[] = [];
  const spare: Buffer[] = [];
  let gathered: Buffer | null = null;
  let filled = 0;
  let isEmpty = true;

  const start = (bytes: Buffer, done: () => void) => {
    isEmpty = false;
    const packer = idle.pop() ?? new FramePacker(bytes.length);
    if (!packers.includes(packer)) packers.push(packer);
    const packed = packer.pack(bytes);
    // Awaited in its turn; until then a rejection must not count as unhandled.
    packed.catch(() => {});
    inFlight.push({
      packed,
      done: () => {
        idle.push(packer);
        done();
      },
    });
  };
  const startGathered = () => {
    const buffer = gathered;
    if (buffer === null || filled === 0) return;
    start(buffer.subarray(0, filled), () => spare.push(buffer));
    gathered = null;
    filled = 0;
  };
  async function* finishDownTo(count: number): AsyncGenerator<Buffer> {
    while (inFlight.length > count) {
      const [oldest] = inFlight.splice(0, 1) as [Frame];
      const packed = await oldest.packed;
      oldest.done();
      yield packed;
    }
  }

  try {
    for await (const chunk of chunks) {
      if (chunk.length >= LARGE_BYTES && chunk.length <= FRAME_BYTES) {
        startGathered();
        start(chunk, () => release(chunk));
        yield* finishDownTo(FRAMES_IN_FLIGHT - 1);
        continue;
      }
      for (let offset = 0; offset < chunk.length; ) {
        gathered ??= spare.pop() ?? Buffer.allocUnsafeSlow(FRAME_BYTES);
        const copied = chunk.copy(gathered, filled, offset);
        offset += copied;
        filled += copied;
        if (filled < FRAME_BYTES) continue;
        startGathered();
        yield* finishDownTo(FRAMES_IN_FLIGHT - 1);
      }
      release(chunk);
    }
    startGathered();
    // An empty artifact is an empty frame: nothing at all would not unpack.
    if (isEmpty) start(Buffer.alloc(0), () => {});
    yield* finishDownTo(0);
  } finally {
    for (const packer of packers) packer.close();
  }
}

/** One zstd context, which makes one frame of each buffer it is given. */
class FramePacker {
  private readonly zstd: ReturnType<typeof createZstdCompress>;
  private pieces: Buffer[] = [];

  /** `firstBytes`: the size of the first frame; one that is small is the only one. */
  constructor(firstBytes: number) {
    this.zstd = createZstdCompress({
      chunkSize: firstBytes < LARGE_BYTES ? firstBytes + FRAME_ROOM : OUTPUT_BYTES,
      // With each write a frame is whole. `zstdCompress()` ends it with a second one, and so copies all bytes and compresses slower.
      flush: constants.ZSTD_e_end,
      params: { [constants.ZSTD_c_compressionLevel]: COMPRESSION_LEVEL },
    });
    this.zstd.on('data', (piece: Buffer) => this.pieces.push(piece));
  }

  /** Not before the frame before it is there. */
  pack(bytes: Buffer): Promise<Buffer> {
    const { zstd } = this;
    return new Promise((resolve, reject) => {
      zstd.once('error', reject);
      zstd.write(bytes, (error) => {
        if (error) return reject(error);
        zstd.off('error', reject);
        // What is not handed out yet comes as one more `data`.
        if (zstd.readableLength > 0) zstd.read();
        const { pieces } = this;
        this.pieces = [];
        resolve(pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces));
      });
    });
  }

  close(): void {
    this.zstd.destroy();
  }
}
