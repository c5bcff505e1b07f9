import { Readable } from 'node:stream';
import type { Fingerprint } from '../domain/fingerprint.js';
import type { DumpPart, DumpSession } from '../engines/engine.js';
import type { WrappingKey } from '../keys/types.js';
import type { Destination } from '../storage/destination.js';
import type { Artifact } from '../storage/manifest.js';
import { writeArtifact } from '../storage/write-artifact.js';

export const FINGERPRINT_NAME = 'fingerprint.json';

export type TakeDumpOptions = {
  readonly session: DumpSession;
  readonly destination: Destination;
  /** Folder of this attempt in the destination. */
  readonly keyPrefix: string;
  /** Null: the plan does not encrypt. */
  readonly key: WrappingKey | null;
  readonly context: { readonly installation: string; readonly backup: string };
  readonly signal: AbortSignal;
  /** Plain bytes of the dump so far, all parts together; the fingerprint's own bytes are not counted. */
  readonly onBytes: (bytes: number) => void;
  readonly onTable: (done: number, total: number) => void;
};

export type TakenDump = { readonly artifacts: readonly Artifact[]; readonly fingerprint: Fingerprint | null };

/**
 * Streams every part of a dump into the destination, and reads the fingerprint from the same snapshot meanwhile. Resolves only when each
 * tool has ended well and each object is stored; when one fails the others are stopped and awaited, so that nothing runs on unseen.
 */
export async function takeDump(options: TakeDumpOptions): Promise<TakenDump> {
  const { session } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const attempt = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (!stop.signal.aborted) {
        stop.abort(error);
        // Ends the tool and the fingerprint's queries: they do not listen to our signal but to the session.
        await session.close();
      }
      throw error;
    }
  };
  const results = await Promise.allSettled([
    attempt(writeParts(options, signal)),
    attempt(session.fingerprintUnavailable === null ? session.fingerprint(options.onTable) : Promise.resolve(null)),
  ]);
  // The first failure is the cause; the other one only heard of it.
  if (stop.signal.aborted) throw stop.signal.reason;
  const [parts, print] = results;
  if (parts.status === 'rejected') throw parts.reason;
  if (print.status === 'rejected') throw print.reason;
  if (print.value === null) return { artifacts: parts.value, fingerprint: null };
  const text = JSON.stringify(print.value);
  const artifact = await writeArtifact({
    ...storageOf(options),
    name: FINGERPRINT_NAME,
    role: 'fingerprint',
    tool: null,
    source: Readable.from([Buffer.from(text, 'utf8')]),
    signal: options.signal,
  });
  return { artifacts: [...parts.value, artifact], fingerprint: print.value };
}

function storageOf(options: TakeDumpOptions) {
  const { destination, keyPrefix, key, context } = options;
  return { destination, keyPrefix, key, context };
}

async function writeParts(options: TakeDumpOptions, signal: AbortSignal): Promise<Artifact[]> {
  const artifacts: Artifact[] = [];
  let before = 0;
  for (const part of options.session.parts) {
    const artifact = await writePart({ ...options, onBytes: (bytes) => options.onBytes(before + bytes) }, part, signal);
    before += artifact.bytes;
    artifacts.push(artifact);
  }
  return artifacts;
}

async function writePart(options: TakeDumpOptions, part: DumpPart, signal: AbortSignal): Promise<Artifact> {
  signal.throwIfAborted();
  const { stdout, done, release } = part.start();
  return await writeArtifact({
    ...storageOf(options),
    name: part.name,
    role: 'dump',
    tool: part.tool,
    source: stdout,
    sourceDone: done,
    ...(release ? { release } : {}),
    signal,
    onBytes: options.onBytes,
  });
}
