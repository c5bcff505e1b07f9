import { newId } from '../../domain/ids.js';
import type { DatabaseSecret, DestinationSecret } from '../../domain/secrets.js';
import { sealText, secretContext } from '../../keys/seal.js';
import type { KeyContext } from '../context.js';

/** Seals credentials for a Secret row. They leave this function only encrypted under the master key, bound to the row's id. */
export async function sealCredentials(
  context: Pick<KeyContext, 'masterKey'>,
  secret: DatabaseSecret | DestinationSecret,
  id: string = newId('secret'),
): Promise<{ id: string; sealed: string }> {
  return { id, sealed: await sealText(context.masterKey, JSON.stringify(secret), secretContext(id)) };
}
