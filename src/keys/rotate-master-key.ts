import { openText, sealMasterKeyCheck, sealText, secretContext } from './seal.js';
import type { MasterKey } from './types.js';
import { rewrap } from './wrapping-key.js';

/** Everything that is sealed under the master key, as it stands in the catalog. */
export type SealedRows = {
  readonly installationId: string;
  readonly wrappingKeys: readonly { readonly id: string; readonly sealed: string }[];
  readonly secrets: readonly { readonly id: string; readonly sealed: string }[];
};

export type ResealedRows = SealedRows & { readonly masterKeyCheck: string };

/**
 * Re-seals all rows from one master key to another. Pure: the caller writes all results and the new check in ONE transaction that locks
 * the tables read (a row sealed meanwhile would be lost), and puts the new key in place before it commits. Throws `wrong_master_key`
 * naming the row that the old key does not open; nothing is then changed.
 */
export async function resealAll(from: MasterKey, to: MasterKey, rows: SealedRows): Promise<ResealedRows> {
  const wrappingKeys = [];
  for (const row of rows.wrappingKeys) {
    wrappingKeys.push({ id: row.id, sealed: await rewrap(from, to, row.id, row.sealed) });
  }
  const secrets = [];
  for (const row of rows.secrets) {
    const context = secretContext(row.id);
    secrets.push({ id: row.id, sealed: await sealText(to, await openText(from, row.sealed, context), context) });
  }
  return {
    installationId: rows.installationId,
    wrappingKeys,
    secrets,
    masterKeyCheck: await sealMasterKeyCheck(to, rows.installationId),
  };
}
