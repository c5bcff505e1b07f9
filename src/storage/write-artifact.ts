import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { encryptStream } from '../keys/encryption-sdk.js';
import type { WrappingKey } from '../keys/types.js';
import type { Destination } from './destination.js';
import { objectKey } from './layout.js';
import type { Artifact, StoredObject } from './manifest.js';
import { MeasuringStream } from './measuring-stream.js';
import type { BackupContext } from './object-context.js';
import { objectContext } from './object-context.js';
import { packFrames } from './pack-frames.js';

/** Largest object (design section 3). */
export const MAX_OBJECT_BYTES = 64 * 1024 ** 3;

export type WriteArtifact = {
  readonly destination: Destination;
  /** `attemptPrefix(…)` of layout.ts. */
  readonly keyPrefix: string;
  /** File name inside the backup, `dump.pgc` for example. */
  readonly name: string;
  readonly role: Artifact['role'];
  readonly tool: Artifact['tool'];
  readonly source: Readable;
  /** The end of the tool behind `source` (`DumpPart.start().done`): an object is completed only after it has resolved. */
  readonly sourceDone?: Promise<unknown>;
  /** Told of each chunk of `source` that is not needed any more: its buffer may be filled again. */
  readonly release?: (chunk: Buffer) => void;
  /** null: the plan is not encrypted. */
  readonly key: WrappingKey | null;
  readonly context: BackupContext;
  readonly signal: AbortSignal;
  /** Called with the plain bytes read from the source so far. */
  readonly onBytes?: (bytes: number) => void;
  /** For tests; 64 GiB when left out. */
  readonly maxObjectBytes?: number;
};

/**
 * Runs a source through the data path: count + SHA-256 -> zstd -> AES-256-GCM -> SHA-256 of what is stored -> destination. Memory stays
 * flat whatever the size: every stage holds back the one before it. Compression runs on libuv's threads, off the event loop.
 *
 * Throws the source's own error, the destination's, or the signal's reason. What was completed before (earlier objects of a large
 * artifact) stays and is removed with its attempt. The source is destroyed on any failure, so that the tool behind it ends.
 */
export async function writeArtifact(options: WriteArtifact): Promise<Artifact> {
  const source = new PlainSource(options);
  const objects: StoredObject[] = [];
  // A source that is silent (a dump tool that waits for a lock) would otherwise be noticed only at its next byte.
  const onAbort = () => source.cut();
  options.signal.addEventListener('abort', onAbort, { once: true });
  try {
    do {
      objects.push(await writeObject(options, source, objects.length));
    } while (await source.hasMore());
  } catch (error) {
    source.cut();
    if (options.signal.aborted) throw options.signal.reason;
    throw source.failure ?? error;
  } finally {
    options.signal.removeEventListener('abort', onAbort);
  }
  const { bytes, sha256 } = source.whole();
  return { name: options.name, role: options.role, tool: options.tool, bytes, sha256, objects };
}

async function writeObject(options: WriteArtifact, source: PlainSource, index: number): Promise<StoredObject> {
  const { destination, key, signal } = options;
  const at = objectKey(options.keyPrefix, options.name, index, key !== null);
  const encryptor = key ? [encryptStream({ name: key.id, bytes: key.bytes }, objectContext(options.context, at))] : [];
  const stored = new MeasuringStream();
  // One frame ahead: the next ones are packed while this one is encrypted and sent.
  const frames = Readable.from(packFrames(source.nextObject(), options.release), { highWaterMark: 1 });
  const flow = pipeline([frames, ...encryptor, stored], { signal });
  const upload = destination.upload(at, stored, { signal }).catch((error: unknown) => {
    source.cut();
    throw error;
  });
  const [flowed, uploaded] = await Promise.allSettled([flow, upload]);
  // The upload's error first: when it fails it closes the pipeline, which then only reports a premature close.
  if (uploaded.status === 'rejected') throw uploaded.reason;
  if (flowed.status === 'rejected') throw flowed.reason;
  const { bytes, sha256 } = source.object();
  return { key: at, bytes, sha256, storedBytes: stored.bytes, storedSha256: stored.sha256() };
}

/** The tool's bytes, cut into objects. */
class PlainSource {
  /** The error of the source itself, which explains all that fails after it. */
  failure: unknown = null;
  private readonly chunks: AsyncIterator<Buffer>;
  private readonly options: WriteArtifact;
  private readonly limit: number;
  private rest: Buffer | null = null;
  private isCut = false;
  private wholeBytes = 0;
  private objectBytes = 0;
  private objectHash = createHash('sha256');
  /** The first object is hashed once for itself and the whole; only a second one makes two hashes necessary. */
  private wholeHash: Hash | null = null;

  constructor(options: WriteArtifact) {
    this.options = options;
    this.chunks = options.source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    // By plain bytes: a compressed and encrypted object of incompressible data is larger, by less than this margin.
    const max = options.maxObjectBytes ?? MAX_OBJECT_BYTES;
    this.limit = max - Math.ceil(max / 64);
    // Awaited at the end of the source; until then a rejection must not count as unhandled.
    options.sourceDone?.catch(() => {});
  }

  async *nextObject(): AsyncGenerator<Buffer> {
    this.startObject();
    try {
      for (;;) {
        const chunk = this.rest ?? (await this.pull());
        this.rest = null;
        if (chunk === null) return;
        const room = this.limit - this.objectBytes;
        const part = chunk.length > room ? chunk.subarray(0, room) : chunk;
        if (part.length < chunk.length) this.rest = chunk.subarray(part.length);
        this.count(part);
        yield part;
        if (this.objectBytes >= this.limit) return;
      }
    } catch (error) {
      throw this.failed(error);
    }
  }

  /** Ends the source from our side: what it then reports is a consequence, not a cause. */
  cut(): void {
    this.isCut = true;
    this.options.source.destroy();
  }

  /** True when another object must follow. */
  async hasMore(): Promise<boolean> {
    try {
      this.rest ??= await this.pull();
    } catch (error) {
      throw this.failed(error);
    }
    return this.rest !== null;
  }

  object(): { bytes: number; sha256: string } {
    return { bytes: this.objectBytes, sha256: this.objectHash.copy().digest('hex') };
  }

  whole(): { bytes: number; sha256: string } {
    return { bytes: this.wholeBytes, sha256: (this.wholeHash ?? this.objectHash).copy().digest('hex') };
  }

  private failed(error: unknown): unknown {
    if (!this.isCut) this.failure ??= error;
    return error;
  }

  private startObject(): void {
    if (this.wholeBytes > 0) {
      this.wholeHash ??= this.objectHash.copy();
      this.objectHash = createHash('sha256');
    }
    this.objectBytes = 0;
  }

  private count(chunk: Buffer): void {
    this.wholeBytes += chunk.length;
    this.objectBytes += chunk.length;
    this.objectHash.update(chunk);
    this.wholeHash?.update(chunk);
    this.options.onBytes?.(this.wholeBytes);
  }

  private async pull(): Promise<Buffer | null> {
    const step = await this.chunks.next();
    if (!step.done) return step.value;
    await this.options.sourceDone;
    return null;
  }
}
