import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';

/** Size of the chunks in which a child's output is handed on, in bytes. */
export const BATCH_BYTES = 4 * 1024 * 1024;

/** A chunk that is not full is handed on when the child has been silent for so long, in milliseconds. */
const IDLE_MS = 20;

/** Buffers kept for reuse. */
const SPARE_BUFFERS = 8;

/**
 * The standard output of a child that writes gigabytes, for `spawnChild({ stdout })`: a stream of chunks of 4 MiB in buffers that are
 * used again once their reader gives them back.
 *
 * Node's own pipe allocates 64 KiB for each read, and dump tools write a few KiB at a time: the collector ran every 10 MiB, which cost
 * more processor time than both hashes together, and more the larger the heap of the process is.
 */
export class ChildOutput extends Readable {
  /** Words that `spawnChild` puts before the program. */
  readonly launcher: readonly string[];
  private childEnd: Socket | null = null;
  private socket: Socket | null = null;
  private readonly spare: Buffer[] = [];
  private idle: NodeJS.Timeout | null = null;
  private batch: Buffer = Buffer.allocUnsafeSlow(BATCH_BYTES);
  private filled = 0;

  /** Use `openChildOutput`. */
  constructor(launcher: readonly string[]) {
    // Chunk by chunk: a stream of bytes would join what waits into a new buffer.
    super({ objectMode: true, highWaterMark: 1 });
    this.launcher = launcher;
  }

  /** Connects the two ends. Of the ways that Node documents only a socket of our own reads into a buffer of our own. */
  async open(dir: string): Promise<void> {
    // Nobody else can reach the socket in between; by way of the open folder its path is short enough wherever `dir` is.
    const own = mkdtempSync(join(dir, 'output-'));
    const folder = openSync(own, 'r');
    const server = createServer({ pauseOnConnect: true });
    try {
      const path = `/proc/self/fd/${folder}/socket`;
      server.listen(path);
      await once(server, 'listening');
      const connected = once(server, 'connection');
      this.socket = connect({
        path,
        onread: {
          buffer: () => this.batch.subarray(this.filled),
          callback: (bytes, into) => this.receive(bytes, into),
        },
      });
      this.socket.once('end', () => this.finish());
      this.socket.once('error', (error) => this.destroy(error));
      this.socket.once('close', () => this.finish());
      this.childEnd = ((await connected) as [Socket])[0];
      this.childEnd.on('error', () => {});
    } catch (error) {
      this.destroy();
      throw error;
    } finally {
      server.close();
      closeSync(folder);
      rmSync(own, { recursive: true, force: true });
    }
  }

  /** What the child gets; to be called once. `close` it when the child was started, or the output never ends. */
  takeChildEnd(): { readonly stream: Socket; close(): void } {
    const stream = this.childEnd;
    if (stream === null) throw new Error('The output has no end for a child, or one has it already.');
    this.childEnd = null;
    return { stream, close: () => stream.destroy() };
  }

  /** Returns a chunk of this stream that nobody will read any more. Chunks that are never returned are left to the collector. */
  giveBack(chunk: Buffer): void {
    if (chunk.byteLength !== BATCH_BYTES || chunk.buffer.byteLength !== BATCH_BYTES) return;
    if (this.spare.length < SPARE_BUFFERS) this.spare.push(chunk);
  }

  override _read(): void {
    this.socket?.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.idle) clearTimeout(this.idle);
    this.socket?.destroy();
    this.childEnd?.destroy();
    callback(error);
  }

  /** Takes bytes that were read into the present buffer; false stops the reading until somebody wants more. */
  private receive(bytes: number, into: Uint8Array): boolean {
    // After `flush` the first bytes stand where the earlier ones ended.
    if (into.byteOffset !== this.filled) this.batch.copyWithin(this.filled, into.byteOffset, into.byteOffset + bytes);
    this.filled += bytes;
    if (this.filled < BATCH_BYTES) {
      if (this.idle) this.idle.refresh();
      else this.idle = setTimeout(() => this.flush(), IDLE_MS);
      return true;
    }
    const full = this.batch;
    this.batch = this.spare.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES);
    this.filled = 0;
    return this.push(full);
  }

  /** Hands on what is there, as a copy: the next bytes are already promised a place in the buffer. */
  private flush(): void {
    if (this.filled === 0 || this.destroyed || this.readableEnded) return;
    const bytes = Buffer.from(this.batch.subarray(0, this.filled));
    this.filled = 0;
    this.push(bytes);
  }

  private finish(): void {
    if (this.destroyed || this.socket === null) return;
    this.socket = null;
    if (this.idle) clearTimeout(this.idle);
    this.flush();
    this.push(null);
  }
}

/**
 * An output for one child, connected through a socket that exists in a folder below `dir` for a moment. `launcher`: what
 * `largeWrites()` has found for the program.
 */
export async function openChildOutput(dir: string, launcher: readonly string[] = []): Promise<ChildOutput> {
  const output = new ChildOutput(launcher);
  await output.open(dir);
  return output;
}
