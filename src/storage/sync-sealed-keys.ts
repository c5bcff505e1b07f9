import type { Destination } from './destination.js';
import { readSealedKey, writeSealedKey } from './sealed-key-file.js';

/**
 * Brings the sealed wrapping keys of a destination up to date with the catalog's, so that destination + present master key suffice also
 * after a rotation of the master key. Housekeeping calls it for every destination with the keys of its backups; returns the ids written.
 */
export async function syncSealedKeys(options: {
  readonly destination: Destination;
  readonly keys: readonly { readonly id: string; readonly sealed: string }[];
  readonly signal: AbortSignal;
}): Promise<string[]> {
  const { destination, signal } = options;
  const written: string[] = [];
  for (const { id, sealed } of options.keys) {
    if ((await readSealedKey({ destination, keyId: id, signal })) === sealed) continue;
    await writeSealedKey({ destination, keyId: id, sealedKey: sealed, signal });
    written.push(id);
  }
  return written;
}
