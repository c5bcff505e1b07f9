import { TidemarkError } from '../domain/errors.js';
import type { EncryptionContext } from './encryption-sdk.js';
import { decryptBytes, encryptBytes } from './encryption-sdk.js';
import type { MasterKey } from './types.js';

/** Name of the master key inside sealed texts; never changes, so that a rotated key opens what was re-sealed under it. */
const MASTER_KEY_NAME = 'master';

/**
 * Seals bytes under the master key. `context` says what they are for, for example `{purpose: 'secret', id: 'sec_…'}`; opening them for
 * another purpose or row fails, so that sealed columns cannot be exchanged in the catalog. The result is base64.
 */
export async function sealBytes(master: MasterKey, plain: Uint8Array, context: EncryptionContext): Promise<string> {
  const sealed = await encryptBytes({ name: MASTER_KEY_NAME, bytes: master.bytes }, plain, context);
  return sealed.toString('base64');
}

/** Opens what `sealBytes` made. Throws `wrong_master_key`, naming the context, when the key, the context or the text is another. */
export async function openBytes(master: MasterKey, sealed: string, context: EncryptionContext): Promise<Buffer> {
  try {
    return await decryptBytes({ name: MASTER_KEY_NAME, bytes: master.bytes }, Buffer.from(sealed, 'base64'), context);
  } catch {
    const what = Object.values(context).join(' ');
    // The SDK cannot tell a wrong key from a damaged text, and its message would not help the reader.
    throw new TidemarkError(
      'wrong_master_key',
      `The master key does not open the sealed ${what}: it is another key, or the sealed text was changed.`,
      { object: what },
    );
  }
}

/** `sealBytes` for a text. */
export function sealText(master: MasterKey, text: string, context: EncryptionContext): Promise<string> {
  return sealBytes(master, Buffer.from(text, 'utf8'), context);
}

/** Opens what `sealText` made; see `openBytes`. */
export async function openText(master: MasterKey, sealed: string, context: EncryptionContext): Promise<string> {
  return (await openBytes(master, sealed, context)).toString('utf8');
}

/** The context under which a row of the Secret table is sealed. */
export function secretContext(secretId: string): EncryptionContext {
  return { purpose: 'secret', id: secretId };
}

/** Seals the known text that is kept with the installation, so that a wrong master key is recognised at start. */
export function sealMasterKeyCheck(master: MasterKey, installationId: string): Promise<string> {
  return sealText(master, installationId, { purpose: 'master-key-check', id: installationId });
}

/** Refuses a master key that is not the one of this installation: throws `wrong_master_key`. Call it at every start, before anything is sealed. */
export async function verifyMasterKey(master: MasterKey, installationId: string, check: string): Promise<void> {
  try {
    await openText(master, check, { purpose: 'master-key-check', id: installationId });
  } catch {
    throw new TidemarkError(
      'wrong_master_key',
      'The master key is not the one this installation was made with. Nothing was started or changed. ' +
        'Set TIDEMARK_MASTER_KEY, or the file master.key in TIDEMARK_HOME, to the key that was saved. ' +
        'If a rotation of the master key broke off, that is master.key.previous.',
      { object: installationId },
    );
  }
}
