import type { Catalog } from '../../catalog/client.js';
import { findInstallation, insertInstallation } from '../../catalog/installations.js';
import { newId } from '../../domain/ids.js';
import { sealMasterKeyCheck, verifyMasterKey } from '../../keys/seal.js';
import type { MasterKey } from '../../keys/types.js';

/**
 * The id of this installation; made at the first start. Throws `wrong_master_key` when the catalog belongs to another master key, before
 * anything is sealed under the wrong one.
 */
export async function ensureInstallation(catalog: Catalog, masterKey: MasterKey): Promise<string> {
  const found = await findInstallation(catalog.prisma);
  if (found) {
    await verifyMasterKey(masterKey, found.id, found.masterKeyCheck);
    return found.id;
  }
  const id = newId('installation');
  const masterKeyCheck = await sealMasterKeyCheck(masterKey, id);
  const inserted = await insertInstallation(catalog.prisma, { id, masterKeyCheck });
  // Another process was faster: its installation is the one, and its key must be ours.
  await verifyMasterKey(masterKey, inserted.id, inserted.masterKeyCheck);
  return inserted.id;
}
