import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import { manifestMac, sameMac } from '../keys/derive-key.js';
import type { KeyOpener } from '../keys/key-opener.js';
import type { WrappingKey } from '../keys/types.js';
import { canonicalJson } from './canonical-json.js';
import type { Destination } from './destination.js';
import { backupPrefix, manifestKey } from './layout.js';
import type { Manifest } from './manifest.js';
import { manifestOwner, manifestSchema } from './manifest.js';
import { readSmallObject } from './read-small-object.js';

export type ReadManifest = {
  readonly destination: Destination;
  /** Database or server: `backupOwner` of the row. */
  readonly ownerId: string;
  readonly backupId: string;
  readonly openKey: KeyOpener;
  readonly signal: AbortSignal;
};

export type VerifiedManifest = {
  readonly manifest: Manifest;
  /** Key to read the artifacts with: null when they are not encrypted. */
  readonly key: WrappingKey | null;
};

/**
 * Reads and authenticates the manifest of a backup. Throws `manifest_missing`; `manifest_forged` when it is damaged, fails its HMAC, was
 * made for another backup, or names objects outside of this one; or what `openKey` throws (`key_missing`, `wrong_master_key`).
 */
export async function readManifest(options: ReadManifest): Promise<VerifiedManifest> {
  const at = manifestKey(options.ownerId, options.backupId);
  const raw = await load(options, at);
  const parsed = manifestSchema.safeParse(raw);
  if (!parsed.success) throw forged(at, 'it is not a manifest');
  const manifest = parsed.data;
  const macKey = await options.openKey(manifest.macKey.keyId, manifest.macKey.sealedKey);
  // Over what is stored, not over what the schema kept of it: a field added by hand must not go unnoticed.
  const { mac: _mac, ...unsigned } = raw as Record<string, unknown>;
  if (!sameMac(manifest.mac, manifestMac(macKey, canonicalJson(unsigned)))) throw forged(at, 'its HMAC is not right');
  assertOwn(manifest, options, at);
  if (manifest.encryption && manifest.encryption.keyId !== macKey.id) throw forged(at, 'it names two different keys');
  return { manifest, key: manifest.encryption ? macKey : null };
}

/** True when a backup has a manifest, without reading it. */
export async function hasManifest(options: Omit<ReadManifest, 'openKey'>): Promise<boolean> {
  const at = manifestKey(options.ownerId, options.backupId);
  return (await options.destination.stat(at, { signal: options.signal })) !== null;
}

async function load({ destination, signal }: ReadManifest, at: string): Promise<unknown> {
  let bytes: Buffer;
  try {
    bytes = await readSmallObject(destination, at, signal);
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'object_missing') {
      throw new TidemarkError('manifest_missing', `There is no manifest ${at} in ${destination.location}.`, {
        object: at,
      });
    }
    throw error;
  }
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw forged(at, 'it is not JSON');
  }
}

/** A genuine manifest of another backup, put in the place of this one, has a right HMAC. */
function assertOwn(manifest: Manifest, options: ReadManifest, at: string): void {
  const ownerId = manifestOwner(manifest);
  if (manifest.backupId !== options.backupId || ownerId !== options.ownerId) {
    throw forged(at, `it belongs to backup ${manifest.backupId} of ${ownerId}`);
  }
  const prefix = `${backupPrefix(ownerId, options.backupId)}/`;
  const stranger = manifest.artifacts
    .flatMap((artifact) => artifact.objects)
    .find((object) => !object.key.startsWith(prefix));
  if (stranger) throw forged(at, `it names ${stranger.key}, which is not part of the backup`);
}

function forged(at: string, why: string): TidemarkError {
  return new TidemarkError('manifest_forged', `The manifest ${at} is not the one that was written: ${why}.`, {
    object: at,
  });
}
