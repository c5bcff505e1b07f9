import { randomBytes } from 'node:crypto';
import { newId } from '../domain/ids.js';
import { KEY_BYTES } from './encryption-sdk.js';
import { openBytes, sealBytes } from './seal.js';
import type { MasterKey, WrappingKey } from './types.js';

const context = (id: string) => ({ purpose: 'wrapping-key', id });

/** A new wrapping key with its sealed form (base64), which alone is stored. `id` is for keys whose id is given, else it is a new `key_…`. */
export async function createWrappingKey(
  master: MasterKey,
  id: string = newId('key'),
): Promise<{ key: WrappingKey; sealed: string }> {
  const key = { id, bytes: Uint8Array.from(randomBytes(KEY_BYTES)) };
  return { key, sealed: await sealWrappingKey(master, key) };
}

/** Seals a wrapping key under the master key, bound to its id. */
export function sealWrappingKey(master: MasterKey, key: WrappingKey): Promise<string> {
  return sealBytes(master, key.bytes, context(key.id));
}

/** Opens a sealed wrapping key. Throws `wrong_master_key` naming the key's id. */
export async function openWrappingKey(master: MasterKey, id: string, sealed: string): Promise<WrappingKey> {
  return { id, bytes: Uint8Array.from(await openBytes(master, sealed, context(id))) };
}

/** The same wrapping key sealed under another master key: what it encrypted stays readable, nothing is encrypted anew. */
export async function rewrap(from: MasterKey, to: MasterKey, id: string, sealed: string): Promise<string> {
  return sealWrappingKey(to, await openWrappingKey(from, id, sealed));
}
