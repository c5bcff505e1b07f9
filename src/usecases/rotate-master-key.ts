import { recordAudit } from '../catalog/audit-events.js';
import { replaceMasterKeyCheck } from '../catalog/installations.js';
import { replaceSecret } from '../catalog/secrets.js';
import { findAllSealed, lockSealed, replaceSealedKey } from '../catalog/wrapping-keys.js';
import { TidemarkError } from '../domain/errors.js';
import { resealAll } from '../keys/rotate-master-key.js';
import type { MasterKey } from '../keys/types.js';
import type { KeyContext, Principal } from './context.js';
import { assertAdmin } from './shared/refusals.js';

/**
 * Re-seals everything in the catalog from the present master key to another one, in one transaction. `putInPlace` makes the new key
 * the one that the next start loads; it runs last, and when it fails nothing was changed. Processes that run keep the old key in
 * memory, so they must be stopped before. Manifests written before carry their wrapping key under the old master key: keep that one
 * for `tidemark extract`, or export the keys of the plans.
 */
export async function rotateMasterKey(
  context: KeyContext,
  principal: Principal,
  input: { to: MasterKey; putInPlace: () => Promise<void> },
): Promise<{ wrappingKeys: number; secrets: number }> {
  assertAdmin(principal, 'rotate the master key');
  return await context.catalog.prisma.$transaction(
    async (tx) => {
      await lockSealed(tx);
      const rows = await findAllSealed(tx);
      if (rows.installation === null) {
        throw new TidemarkError('internal', 'The catalog has no installation row; start the service once first.');
      }
      const resealed = await resealAll(context.masterKey, input.to, {
        installationId: rows.installation.id,
        wrappingKeys: rows.keys,
        secrets: rows.secrets,
      });
      for (const row of resealed.wrappingKeys) await replaceSealedKey(tx, row.id, row.sealed);
      for (const row of resealed.secrets) await replaceSecret(tx, row.id, row.sealed);
      await replaceMasterKeyCheck(tx, rows.installation.id, resealed.masterKeyCheck);
      await recordAudit(tx, principal, 'master_key.rotated', rows.installation.id);
      await input.putInPlace();
      return { wrappingKeys: resealed.wrappingKeys.length, secrets: resealed.secrets.length };
    },
    { timeout: 10 * 60_000, maxWait: 10_000 },
  );
}
