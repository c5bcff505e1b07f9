import { TidemarkError } from '../domain/errors.js';
import type { Destination } from './destination.js';

/** Manifests name up to some thousand objects; anything near this is not one of ours. */
const LIMIT = 32 * 1024 * 1024;

/** Reads a small object whole. Throws `object_missing`, or `object_corrupt` when it is too large to be one of ours. */
export async function readSmallObject(destination: Destination, key: string, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of (await destination.read(key, { signal })) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LIMIT) {
      throw new TidemarkError('object_corrupt', `${key} is larger than ${LIMIT} bytes and was not read.`, {
        object: key,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
