import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { pipeline, Readable } from 'node:stream';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import { ContextMismatch, decryptStream } from '../keys/encryption-sdk.js';
import type { WrappingKey } from '../keys/types.js';
import type { Destination } from './destination.js';
import type { Artifact, StoredObject } from './manifest.js';
import { MeasuringStream } from './measuring-stream.js';
import type { BackupContext } from './object-context.js';
import { objectContext } from './object-context.js';
import { unpackFrames } from './unpack-frames.js';

/** Stored bytes that are decrypted at a time. */
const GATHERED_BYTES = 1024 * 1024;

export type ReadArtifact = {
  readonly destination: Destination;
  readonly artifact: Artifact;
  /** The wrapping key of the manifest, or null when the backup is not encrypted. */
  readonly key: WrappingKey | null;
  readonly context: BackupContext;
  readonly signal: AbortSignal;
};

/**
 * The plain bytes of an artifact, as one stream. They count only when the stream ends without an error: sizes and hashes, and the last
 * frame of each object, are known only then. The error is `object_corrupt` or `object_missing` with the object's key, or a destination's.
 * A missing first object is an error of this call.
 */
export async function readArtifact(options: ReadArtifact): Promise<Readable> {
  const opened = await openFirst(options);
  return streamOf(plainBytes(options, opened), opened);
}

/**
 * The same artifact decrypted but still compressed, for a program that decompresses itself: zstd frames, those of all its objects one after
 * the other. Only what is stored is compared with its recorded sizes and hashes; what comes out of it the caller verifies. Errors as with
 * `readArtifact`, except that a frame that is none is for the program to report.
 */
export async function readPackedArtifact(options: ReadArtifact): Promise<Readable> {
  const opened = await openFirst(options);
  async function* all() {
    for await (const { packed } of storedObjects(options, opened)) yield* packed;
  }
  return streamOf(all(), opened);
}

/** A stream that is given up before its first byte is asked for never enters its generator, which would close what was opened. */
function streamOf(bytes: AsyncGenerator<Buffer>, opened: Readable): Readable {
  const stream = Readable.from(bytes, { objectMode: false, highWaterMark: 1024 * 1024 });
  stream.once('close', () => opened.destroy());
  return stream;
}

async function openFirst({ artifact, destination, signal }: ReadArtifact): Promise<Readable> {
  const [first] = artifact.objects;
  if (!first) throw new TidemarkError('object_missing', `${artifact.name} has no objects.`);
  return await destination.read(first.key, { signal });
}

async function* storedObjects(options: ReadArtifact, opened: Readable) {
  for (const [index, object] of options.artifact.objects.entries()) {
    const stored = index === 0 ? opened : await options.destination.read(object.key, { signal: options.signal });
    yield { object, packed: packedBytes(options, object, stored) };
  }
}

async function* plainBytes(options: ReadArtifact, opened: Readable): AsyncGenerator<Buffer> {
  const { artifact } = options;
  const [first, ...more] = artifact.objects;
  // One object is the whole, and its own hash that of the whole: hashing twice would cost a second per gigabyte.
  const whole = more.length === 0 ? null : createHash('sha256');
  let bytes = 0;
  for await (const { object, packed } of storedObjects(options, opened)) {
    for await (const chunk of unpackObject(options, object, packed)) {
      bytes += chunk.length;
      whole?.update(chunk);
      yield chunk;
    }
  }
  if (bytes !== artifact.bytes || (whole?.digest('hex') ?? first?.sha256) !== artifact.sha256) {
    throw new TidemarkError('object_corrupt', `${artifact.name}: its objects together are not what was written.`, {
      object: artifact.name,
    });
  }
}

async function* unpackObject(
  { signal }: ReadArtifact,
  object: StoredObject,
  packed: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of unpackFrames(packed)) {
      bytes += chunk.length;
      hash.update(chunk);
      yield chunk;
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw explain(object, error);
  }
  if (bytes !== object.bytes || hash.digest('hex') !== object.sha256) {
    throw corrupt(object, 'what it holds does not have the recorded size and SHA-256');
  }
}

/** Fails at the end, after all bytes, when they are not the ones that were stored. */
async function* packedBytes(options: ReadArtifact, object: StoredObject, stored: Readable): AsyncGenerator<Buffer> {
  const { key, context, signal } = options;
  const sealed = new MeasuringStream();
  const decryptor = key ? [decryptStream({ name: key.id, bytes: key.bytes }, objectContext(context, object.key))] : [];
  let failure: Error | null = null;
  const gathered = Readable.from(gather(stored), { highWaterMark: 1 });
  const flow: (Readable | Duplex)[] = [gathered, sealed, ...decryptor];
  // The first error is the cause; the streams after it then only report a premature close.
  for (const stream of [stored, ...flow]) stream.once('error', (error: Error) => (failure ??= error));
  pipeline(flow, () => {});
  try {
    yield* (flow.at(-1) ?? sealed) as AsyncIterable<Buffer>;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw explain(object, failure ?? error);
  }
  if (sealed.bytes !== object.storedBytes || sealed.sha256() !== object.storedSha256) {
    throw corrupt(object, `its ${sealed.bytes} bytes do not have the recorded size and SHA-256`);
  }
}

/**
 * Puts the small chunks of a connection together: the decryptor waits for the event loop after each one that it is given, and 16 KiB at a
 * time that is most of its time.
 */
async function* gather(chunks: Readable): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks as AsyncIterable<Buffer>) {
    waiting.push(chunk);
    bytes += chunk.length;
    if (bytes < GATHERED_BYTES) continue;
    yield Buffer.concat(waiting, bytes);
    waiting = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(waiting, bytes);
}

function explain(object: StoredObject, error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error;
  if (error instanceof ContextMismatch) return corrupt(object, 'it was written for another object or backup');
  const message = error instanceof Error ? error.message : '';
  if (message.includes('unencryptedDataKey has not been set')) {
    return corrupt(object, 'the wrapping key of the backup does not open it');
  }
  return corrupt(object, 'it cannot be decrypted and unpacked');
}

export function corrupt(object: { readonly key: string }, why: string): TidemarkError {
  return new TidemarkError('object_corrupt', `The stored object ${object.key} is not what was written: ${why}.`, {
    object: object.key,
  });
}
