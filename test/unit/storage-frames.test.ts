import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FRAME_BYTES, packFrames } from '../../src/storage/pack-frames.js';
import { unpackFrames } from '../../src/storage/unpack-frames.js';

/** Half of it packs, half does not. */
const mixed = (bytes: number) => Buffer.concat([randomBytes(bytes >> 1), Buffer.alloc(bytes - (bytes >> 1), 'text ')]);

const pack = async (chunks: Iterable<Buffer> | AsyncIterable<Buffer>, release?: (chunk: Buffer) => void) => {
  const frames: Buffer[] = [];
  async function* each() {
    yield* chunks;
  }
  for await (const frame of packFrames(each(), release)) frames.push(frame);
  return frames;
};

const unpack = async (stored: Buffer, piece = 64 * 1024) => {
  const pieces: Buffer[] = [];
  for (let at = 0; at < stored.length; at += piece) pieces.push(stored.subarray(at, at + piece));
  return await buffer(unpackFrames(Readable.from(pieces)));
};

const cut = (content: Buffer, size: number) =>
  Array.from({ length: Math.ceil(content.length / size) }, (_, i) => content.subarray(i * size, (i + 1) * size));

describe('zstd frames', () => {
  it('give back what went in, whatever the sizes of chunks', async () => {
    const content = mixed(11 * 1024 * 1024 + 17);
    for (const size of [60_001, FRAME_BYTES / 2, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, content.length]) {
      const stored = Buffer.concat(await pack(cut(content, size)));
      expect((await unpack(stored)).equals(content), `chunks of ${size} bytes`).toBe(true);
    }
  });

  it('hold at most 4 MiB each, and little chunks do not become little frames', async () => {
    const frames = await pack(cut(mixed(10 * 1024 * 1024), 4096));
    expect(frames.map((frame) => zstdDecompressSync(frame).length)).toEqual([
      FRAME_BYTES,
      FRAME_BYTES,
      2 * 1024 * 1024,
    ]);
    const [one] = await pack([randomBytes(FRAME_BYTES)]);
    expect(zstdDecompressSync(one as Buffer).length).toBe(FRAME_BYTES);
  });

  it('are one empty frame when nothing came, and nothing besides otherwise', async () => {
    const [empty, ...more] = await pack([]);
    expect(more).toEqual([]);
    expect((await unpack(empty as Buffer)).length).toBe(0);
    expect((await pack([Buffer.from('a')])).length).toBe(1);
  });

  it('leave a chunk alone until it is released', async () => {
    const content = mixed(40 * 1024 * 1024);
    const spare: Buffer[] = [];
    let made = 0;
    async function* reusing() {
      for (const part of cut(content, 3 * 1024 * 1024)) {
        if (spare.length === 0) made += 1;
        const chunk = spare.pop() ?? Buffer.alloc(3 * 1024 * 1024);
        yield chunk.subarray(0, part.copy(chunk));
      }
    }
    const frames = await pack(reusing(), (chunk) => {
      spare.push(Buffer.from(chunk.buffer, 0, 3 * 1024 * 1024).fill(0));
    });
    expect(made).toBeLessThan(5);
    expect((await unpack(Buffer.concat(frames))).equals(content)).toBe(true);
  });

  it('fail with the error of what is packed', async () => {
    const failure = new Error('the source broke');
    async function* failing() {
      yield randomBytes(FRAME_BYTES);
      yield randomBytes(100);
      throw failure;
    }
    await expect(pack(failing())).rejects.toBe(failure);
  });

  it('are all read, wherever a chunk ends between or inside them', async () => {
    for (const size of [1, 300, 70_000]) {
      const parts = Array.from({ length: 9 }, () => mixed(size));
      const stored = Buffer.concat(parts.map((part) => zstdCompressSync(part)));
      for (const piece of [1, 7, 1000, 65_536, stored.length]) {
        if (stored.length / piece > 5000) continue;
        const found = await unpack(stored, piece);
        expect(found.equals(Buffer.concat(parts)), `frames of ${size}, chunks of ${piece}`).toBe(true);
      }
    }
  });

  it('are read with back-pressure, also one that is far larger than what holds it', async () => {
    const packer = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 3 } });
    const zeros = Readable.from(Array.from({ length: 200 }, () => Buffer.alloc(1024 * 1024)));
    const [stored] = await Promise.all([buffer(packer), pipeline(zeros, packer)]);
    let bytes = 0;
    let most = 0;
    for await (const chunk of unpackFrames(Readable.from([stored]))) {
      bytes += chunk.length;
      most = Math.max(most, chunk.length);
    }
    expect(bytes).toBe(200 * 1024 * 1024);
    expect(most).toBeLessThan(4 * 1024 * 1024);
  });

  it('are read whether or not they tell their size, one kind after the other', async () => {
    const [told, untold, large] = [mixed(300_000), mixed(200_000), Buffer.alloc(FRAME_BYTES * 2, 'text ')];
    const silent = createZstdCompress();
    silent.write(untold.subarray(0, 1000));
    silent.end(untold.subarray(1000));
    const checked = zstdCompressSync(told, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
    const stored = Buffer.concat([checked, await buffer(silent), zstdCompressSync(told), zstdCompressSync(large)]);
    const content = Buffer.concat([told, untold, told, large]);
    for (const piece of [1000, 65_536, stored.length]) {
      expect((await unpack(stored, piece)).equals(content), `chunks of ${piece}`).toBe(true);
    }
  });

  it('end what they are read from when nobody wants the rest', async () => {
    const source = Readable.from(await pack([mixed(FRAME_BYTES), mixed(FRAME_BYTES), mixed(FRAME_BYTES)]));
    for await (const _ of unpackFrames(source)) break;
    expect(source.destroyed).toBe(true);
  });

  it('that hold something else than they announce are an error', async () => {
    const [frame] = await pack([Buffer.from('a'.repeat(100))]);
    const other = Buffer.from(frame as Buffer);
    // A single segment of less than 256 bytes: its size is the byte after the descriptor.
    other[5] = 90;
    await expect(unpack(other)).rejects.toThrow();
  });

  it('that are cut off, damaged or no frames at all are an error', async () => {
    const stored = Buffer.concat(await pack([mixed(FRAME_BYTES), mixed(FRAME_BYTES)]));
    await expect(unpack(stored.subarray(0, -5))).rejects.toThrow();
    await expect(unpack(Buffer.concat([stored, Buffer.from('and something else')]))).rejects.toThrow();
    await expect(unpack(randomBytes(5000))).rejects.toThrow();
  });
});
