import { createHash } from 'node:crypto';
import { TidemarkError } from '../domain/errors.js';
import type { Destination } from './destination.js';
import type { Artifact, StoredObject } from './manifest.js';
import { corrupt } from './read-artifact.js';

type Options = {
  readonly destination: Destination;
  readonly artifacts: readonly Artifact[];
  readonly signal: AbortSignal;
  /** Called with the stored bytes checked so far. */
  readonly onBytes?: (bytes: number) => void;
};

/**
 * Checks every stored object of a backup against its manifest: that it is there, its size, its SHA-256. Needs no key. All sizes are asked
 * for first, so that a missing or truncated object is found at once. Throws `object_missing` or `object_corrupt` with the object's key.
 */
export async function verifyArtifacts(options: Options): Promise<void> {
  await verifySizes(options);
  const objects = options.artifacts.flatMap((artifact) => artifact.objects);
  let done = 0;
  for (const object of objects) {
    await verifyContent(options, object, (bytes) => options.onBytes?.(done + bytes));
    done += object.storedBytes;
  }
}

/** The quick half of `verifyArtifacts`: every object is there and has its size; nothing is read. */
export async function verifySizes(options: Omit<Options, 'onBytes'>): Promise<void> {
  for (const object of options.artifacts.flatMap((artifact) => artifact.objects)) await verifySize(options, object);
}

/** `verifyArtifacts` for one. */
export function verifyArtifact(options: Omit<Options, 'artifacts'> & { readonly artifact: Artifact }): Promise<void> {
  return verifyArtifacts({ ...options, artifacts: [options.artifact] });
}

async function verifySize({ destination, signal }: Options, object: StoredObject): Promise<void> {
  const info = await destination.stat(object.key, { signal });
  if (!info) {
    throw new TidemarkError(
      'object_missing',
      `The stored object ${object.key} is missing in ${destination.location}.`,
      {
        object: object.key,
      },
    );
  }
  if (info.bytes !== object.storedBytes) {
    throw corrupt(object, `it has ${info.bytes} bytes instead of ${object.storedBytes}`);
  }
}

async function verifyContent(
  { destination, signal }: Options,
  object: StoredObject,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of (await destination.read(object.key, { signal })) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
    onBytes(bytes);
  }
  if (bytes !== object.storedBytes) throw corrupt(object, `it has ${bytes} bytes instead of ${object.storedBytes}`);
  if (hash.digest('hex') !== object.storedSha256) throw corrupt(object, 'its SHA-256 differs from the recorded one');
}
