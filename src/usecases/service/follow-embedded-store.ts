import { recordAudit } from '../../catalog/audit-events.js';
import { changeDestination, findLoopbackDestinations } from '../../catalog/destinations.js';
import { findSealedText } from '../../catalog/secrets.js';
import { destinationSecretSchema } from '../../domain/secrets.js';
import { openText, secretContext } from '../../keys/seal.js';
import type { KeyContext } from '../context.js';

/** The store that `tidemark up` runs, where it listens in this run. */
export type EmbeddedStore = { readonly endpoint: string; readonly accessKeyId: string };

/**
 * The embedded store keeps its port, unless another program took it while the service was away; then its destinations would point to
 * that program, and with them every backup. They are told by the store's own generated access key. Returns the ids that were changed.
 */
export async function followEmbeddedStore(context: KeyContext, store: EmbeddedStore): Promise<string[]> {
  const { prisma } = context.catalog;
  const changed: string[] = [];
  for (const row of await findLoopbackDestinations(prisma)) {
    if (row.endpoint === store.endpoint || row.secretId === null) continue;
    const sealed = await findSealedText(prisma, row.secretId);
    if (sealed === null) continue;
    const text = await openText(context.masterKey, sealed, secretContext(row.secretId));
    const { accessKeyId } = destinationSecretSchema.parse(JSON.parse(text));
    if (accessKeyId !== store.accessKeyId) continue;
    await prisma.$transaction(async (tx) => {
      await changeDestination(tx, row.id, { endpoint: store.endpoint }, false);
      await recordAudit(tx, null, 'destination.store_moved', row.id, { from: row.endpoint, to: store.endpoint });
    });
    changed.push(row.id);
  }
  return changed;
}
