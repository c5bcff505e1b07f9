import { idPrefixes } from '../domain/ids.js';
import type { MasterKey, WrappingKey } from './types.js';
import { createWrappingKey } from './wrapping-key.js';

/**
 * The id of an installation's own wrapping key, which authenticates the manifests of plans without encryption. It is derived from the
 * installation's id, so that it needs no column: the row with this id is made once and is re-sealed with all others at a rotation.
 */
export function installationKeyId(installationId: string): string {
  return installationId.replace(new RegExp(`^${idPrefixes.installation}_`), `${idPrefixes.key}_`);
}

/** Makes that key; insert the row with `ON CONFLICT DO NOTHING` and read it back, because two processes may start at once. */
export function createInstallationKey(
  master: MasterKey,
  installationId: string,
): Promise<{ key: WrappingKey; sealed: string }> {
  return createWrappingKey(master, installationKeyId(installationId));
}
