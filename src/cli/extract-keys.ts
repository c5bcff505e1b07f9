import { readFileSync } from 'node:fs';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import { parseExportedKey } from '../keys/exported-key.js';
import type { KeyOpener } from '../keys/key-opener.js';
import { wrappingKeyOpener } from '../keys/key-opener.js';
import { parseKey } from '../keys/key-text.js';
import { loadMasterKey, readMasterKeyFile } from '../keys/master-key.js';
import type { MasterKey, WrappingKey } from '../keys/types.js';
import { openWrappingKey } from '../keys/wrapping-key.js';
import type { Destination } from '../storage/destination.js';
import { readSealedKey } from '../storage/sealed-key-file.js';

export type KeySources = {
  /** `--master-key`. */
  readonly masterKeyFile: string | undefined;
  /** `--wrapping-key`, any number of exported keys. */
  readonly wrappingKeyFiles: readonly string[];
  /** TIDEMARK_MASTER_KEY. */
  readonly fromEnv: string | undefined;
  readonly home: string;
};

/** The keys at hand. The master key is looked for in this order: the option, the environment, `<home>/master.key`. */
export function collectKeys(sources: KeySources): { master: MasterKey | null; wrapping: WrappingKey[] } {
  const wrapping = sources.wrappingKeyFiles.map((path) => parseExportedKey(readText(path)));
  if (sources.masterKeyFile !== undefined) {
    const bytes = parseKey(readText(sources.masterKeyFile));
    if (!bytes) throw new TidemarkError('master_key_invalid', `${sources.masterKeyFile} does not hold a master key.`);
    return { master: { bytes }, wrapping };
  }
  if (sources.fromEnv) return { master: loadMasterKey(sources).key, wrapping };
  return { master: readMasterKeyFile(`${sources.home}/master.key`), wrapping };
}

/** Opens what a manifest names with the keys at hand; after a rotation of the master key with the newer sealing in the destination. */
export function extractKeyOpener(
  keys: ReturnType<typeof collectKeys>,
  destination: Destination,
  signal: AbortSignal,
): KeyOpener {
  const fromFiles = wrappingKeyOpener(keys.wrapping);
  return async (keyId, sealedKey) => {
    if (keys.wrapping.some((key) => key.id === keyId)) return fromFiles(keyId, sealedKey);
    if (keys.master === null) {
      throw new TidemarkError(
        'key_missing',
        `The backup needs the wrapping key ${keyId}: give the master key (--master-key FILE) or that key (--wrapping-key FILE).`,
        { object: keyId },
      );
    }
    try {
      return await openWrappingKey(keys.master, keyId, sealedKey);
    } catch (error) {
      if (!isTidemarkError(error) || error.code !== 'wrong_master_key') throw error;
      const newer = await readSealedKey({ destination, keyId, signal });
      if (newer === null) throw error;
      return openWrappingKey(keys.master, keyId, newer);
    }
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TidemarkError('key_missing', `The key file ${path} cannot be read (${code ?? 'unknown error'}).`);
  }
}
