import { isTidemarkError } from '../domain/errors.js';
import { manifestMac } from '../keys/derive-key.js';
import type { WrappingKey } from '../keys/types.js';
import { canonicalJson } from './canonical-json.js';
import type { Destination } from './destination.js';
import { manifestKey } from './layout.js';
import type { Manifest } from './manifest.js';
import { manifestOwner, manifestSchema } from './manifest.js';
import { readSmallObject } from './read-small-object.js';

/** All but what sealing adds. */
export type ManifestContent = Omit<Manifest, 'mac' | 'macKey'>;

export type WriteManifest = {
  readonly destination: Destination;
  readonly manifest: ManifestContent;
  /** The plan's wrapping key; for a plan without encryption the installation's own (keys/installation-key.ts). */
  readonly key: WrappingKey;
  /** That key sealed under the master key, as in the catalog. */
  readonly sealedKey: string;
  readonly signal: AbortSignal;
};

/**
 * Seals a manifest with its HMAC and publishes it, unless one is there: throws `manifest_exists` when another attempt was first. The same
 * manifest written again is a success, since the answer to a first try may have been lost. Check the fencing token directly before.
 */
export async function writeManifest(options: WriteManifest): Promise<Manifest> {
  const { destination, signal } = options;
  const manifest = sealManifest(options.manifest, options.key, options.sealedKey);
  const key = manifestKey(manifestOwner(manifest), manifest.backupId);
  const body = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`, 'utf8');
  try {
    await destination.put(key, body, { signal, ifAbsent: true });
  } catch (error) {
    if (!isTidemarkError(error) || error.code !== 'manifest_exists') throw error;
    const found = await readSmallObject(destination, key, signal);
    if (!found.equals(body)) throw error;
  }
  return manifest;
}

/** Adds the key and the HMAC over the canonical text of everything else. */
export function sealManifest(content: ManifestContent, key: WrappingKey, sealedKey: string): Manifest {
  const unsigned = { ...content, macKey: { keyId: key.id, sealedKey } };
  return manifestSchema.parse({ ...unsigned, mac: manifestMac(key, canonicalJson(unsigned)) });
}
