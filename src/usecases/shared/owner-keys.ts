import { recordAudit } from '../../catalog/audit-events.js';
import type { CatalogQueries } from '../../catalog/client.js';
import { findWrappingKey, insertWrappingKey, markKeyExported, retireWrappingKey } from '../../catalog/wrapping-keys.js';
import { TidemarkError } from '../../domain/errors.js';
import type { ExportedKey } from '../../domain/schemas/accounts.js';
import { formatKey } from '../../keys/key-text.js';
import { createWrappingKey, openWrappingKey } from '../../keys/wrapping-key.js';
import type { KeyContext, Principal } from '../context.js';

/** A plan or policy, as far as its key is concerned. */
export type KeyOwner = { readonly kind: 'plan' | 'policy'; readonly id: string; readonly keyId: string | null };

const ownerField = ({ kind, id }: KeyOwner) => (kind === 'plan' ? { planId: id } : { policyId: id });

function unencrypted({ kind, id }: KeyOwner): TidemarkError {
  return new TidemarkError('key_missing', `The ${kind} ${id} is not encrypted, so it has no key.`, { object: id });
}

/** The wrapping key of a plan or policy in the clear. The caller has made sure that an admin asks. Recorded. */
export async function exportWrappingKey(
  context: KeyContext,
  principal: Principal,
  owner: KeyOwner,
): Promise<ExportedKey> {
  const row = owner.keyId === null ? null : await findWrappingKey(context.catalog.prisma, owner.keyId);
  if (row === null) throw unencrypted(owner);
  const key = await openWrappingKey(context.masterKey, row.id, row.sealed);
  const exportedAt = await context.catalog.prisma.$transaction(async (tx) => {
    await recordAudit(tx, principal, 'key.exported', row.id, ownerField(owner));
    return await markKeyExported(tx, row.id);
  });
  return {
    format: 'tidemark-wrapping-key-1',
    keyId: row.id,
    planId: owner.kind === 'plan' ? owner.id : null,
    policyId: owner.kind === 'policy' ? owner.id : null,
    key: formatKey(key.bytes),
    exportedAt: exportedAt.toISOString(),
  };
}

export type RotatedKeys = { keyId: string; retiredKeyId: string };

/**
 * Gives a plan or policy a new wrapping key for what is made from now on; what was made before stays readable under the old one.
 * `change` locks the owner in the transaction, reads it, and `put` writes the new key to it.
 */
export async function rotateWrappingKey(
  context: KeyContext,
  principal: Principal,
  change: {
    readOwner(tx: CatalogQueries): Promise<KeyOwner>;
    put(tx: CatalogQueries, keyId: string): Promise<unknown>;
  },
): Promise<RotatedKeys> {
  const made = await createWrappingKey(context.masterKey);
  return await context.catalog.prisma.$transaction(async (tx) => {
    const owner = await change.readOwner(tx);
    const { keyId: retiredKeyId } = owner;
    if (retiredKeyId === null) throw unencrypted(owner);
    await insertWrappingKey(tx, { id: made.key.id, sealed: made.sealed });
    await retireWrappingKey(tx, retiredKeyId);
    await change.put(tx, made.key.id);
    await recordAudit(tx, principal, 'key.rotated', made.key.id, { ...ownerField(owner), retiredKeyId });
    return { keyId: made.key.id, retiredKeyId };
  });
}
