import { z } from 'zod';
import { isTidemarkError } from '../domain/errors.js';
import type { Destination } from './destination.js';
import { sealedKeyKey } from './layout.js';
import { readSmallObject } from './read-small-object.js';

const schema = z.object({ format: z.literal('tidemark-sealed-key-1'), keyId: z.string(), sealedKey: z.string() });

/**
 * Writes a wrapping key, sealed under the PRESENT master key, into a destination. Done for every destination of a key when the master key
 * is rotated: manifests are immutable and carry the sealing of their day, which the new master key does not open.
 */
export async function writeSealedKey(options: {
  readonly destination: Destination;
  readonly keyId: string;
  readonly sealedKey: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { destination, keyId, sealedKey, signal } = options;
  const content: z.infer<typeof schema> = { format: 'tidemark-sealed-key-1', keyId, sealedKey };
  await destination.put(sealedKeyKey(keyId), Buffer.from(`${JSON.stringify(content)}\n`, 'utf8'), { signal });
}

/** The newest sealing of a key in a destination, or null when the master key was never rotated (or the file is not one of ours). */
export async function readSealedKey(options: {
  readonly destination: Destination;
  readonly keyId: string;
  readonly signal: AbortSignal;
}): Promise<string | null> {
  let text: string;
  try {
    text = (await readSmallObject(options.destination, sealedKeyKey(options.keyId), options.signal)).toString('utf8');
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'object_missing') return null;
    throw error;
  }
  try {
    const content = schema.parse(JSON.parse(text));
    return content.keyId === options.keyId ? content.sealedKey : null;
  } catch {
    return null;
  }
}
