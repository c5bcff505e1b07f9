import { TidemarkError } from '../domain/errors.js';
import type { MasterKey, WrappingKey } from './types.js';
import { openWrappingKey } from './wrapping-key.js';

/** Finds the wrapping key that a manifest names; `sealedKey` is the copy that the manifest carries. Throws `key_missing` or `wrong_master_key`. */
export type KeyOpener = (keyId: string, sealedKey: string) => Promise<WrappingKey>;

/** Opens with the master key. `present` gives the key as it is sealed today (after a rotation of the master key), or null. */
export function masterKeyOpener(
  master: MasterKey,
  present: (keyId: string) => Promise<string | null> = async () => null,
): KeyOpener {
  return async (keyId, sealedKey) => openWrappingKey(master, keyId, (await present(keyId)) ?? sealedKey);
}

/** Opens with wrapping keys at hand, for example exported ones. */
export function wrappingKeyOpener(keys: readonly WrappingKey[]): KeyOpener {
  return async (keyId) => {
    const key = keys.find((candidate) => candidate.id === keyId);
    if (key) return key;
    throw new TidemarkError('key_missing', `The wrapping key ${keyId} is not at hand.`, { object: keyId });
  };
}
