import type { EncryptionContext } from '../keys/encryption-sdk.js';

/** To whom an object belongs. */
export type BackupContext = { readonly installation: string; readonly backup: string };

/** What is bound to an object's encryption: an object moved to another place, backup or installation does not decrypt. */
export function objectContext(context: BackupContext, key: string): EncryptionContext {
  return { installation: context.installation, backup: context.backup, object: key };
}
