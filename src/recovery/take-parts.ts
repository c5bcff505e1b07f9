import { Readable } from 'node:stream';
import type { DumpPart } from '../engines/engine.js';
import type { WrappingKey } from '../keys/types.js';
import type { Destination } from '../storage/destination.js';
import type { Artifact } from '../storage/manifest.js';
import { writeArtifact } from '../storage/write-artifact.js';

/** Where the artifacts of one attempt go. */
export type AttemptStorage = {
  readonly destination: Destination;
  /** Folder of this attempt in the destination. */
  readonly keyPrefix: string;
  /** Null: nothing is encrypted. */
  readonly key: WrappingKey | null;
  readonly context: { readonly installation: string; readonly backup: string };
};

export type TakePartsOptions = AttemptStorage & {
  readonly parts: readonly DumpPart[];
  readonly role: 'dump' | 'base';
  readonly signal: AbortSignal;
  /** Plain bytes of the parts so far, all together. */
  readonly onBytes: (bytes: number) => void;
  /** Ends the tools and what runs beside them: they do not listen to our signal but to their session. */
  readonly stop: () => Promise<void>;
};

/**
 * Streams every part of an open session into the destination, one after the other, and does `beside` meanwhile. Resolves only when each
 * tool has ended well and each object is stored; when one fails the others are stopped and awaited, so that nothing runs on unseen.
 */
export async function takeParts<T>(
  options: TakePartsOptions,
  beside: () => Promise<T>,
): Promise<{ artifacts: Artifact[]; beside: T }> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const attempt = async <R>(work: Promise<R>): Promise<R> => {
    try {
      return await work;
    } catch (error) {
      if (!stop.signal.aborted) {
        stop.abort(error);
        await options.stop();
      }
      throw error;
    }
  };
  const [parts, other] = await Promise.allSettled([attempt(writeParts(options, signal)), attempt(beside())]);
  // The first failure is the cause; the other one only heard of it.
  if (stop.signal.aborted) throw stop.signal.reason;
  if (parts.status === 'rejected') throw parts.reason;
  if (other.status === 'rejected') throw other.reason;
  return { artifacts: parts.value, beside: other.value };
}

/** A small file that lies in memory: a fingerprint, a sidecar. */
export async function writeSmallArtifact(
  storage: AttemptStorage,
  file: { readonly name: string; readonly role: 'fingerprint' | 'sidecar'; readonly body: Buffer },
  signal: AbortSignal,
): Promise<Artifact> {
  return await writeArtifact({
    ...storageOf(storage),
    name: file.name,
    role: file.role,
    tool: null,
    source: Readable.from([file.body]),
    signal,
  });
}

function storageOf({ destination, keyPrefix, key, context }: AttemptStorage): AttemptStorage {
  return { destination, keyPrefix, key, context };
}

async function writeParts(options: TakePartsOptions, signal: AbortSignal): Promise<Artifact[]> {
  const artifacts: Artifact[] = [];
  let before = 0;
  for (const part of options.parts) {
    const artifact = await writePart({ ...options, onBytes: (bytes) => options.onBytes(before + bytes) }, part, signal);
    before += artifact.bytes;
    artifacts.push(artifact);
  }
  return artifacts;
}

async function writePart(options: TakePartsOptions, part: DumpPart, signal: AbortSignal): Promise<Artifact> {
  signal.throwIfAborted();
  const { stdout, done, release } = part.start();
  return await writeArtifact({
    ...storageOf(options),
    name: part.name,
    role: options.role,
    tool: part.tool,
    source: stdout,
    sourceDone: done,
    ...(release ? { release } : {}),
    signal,
    onBytes: options.onBytes,
  });
}
