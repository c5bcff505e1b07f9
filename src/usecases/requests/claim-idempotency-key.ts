import { createHmac, hkdfSync, randomUUID } from 'node:crypto';
import {
  findIdempotencyKey,
  insertIdempotencyKey,
  removeIdempotencyKey,
  takeOverIdempotencyKey,
} from '../../catalog/idempotency-keys.js';
import { TidemarkError } from '../../domain/errors.js';
import type { MasterKey } from '../../keys/types.js';
import type { Principal, UsecaseContext } from '../context.js';

/** How long a key is remembered (design section 7), in milliseconds. */
export const idempotencyLifetimeMs = 24 * 3600 * 1000;

// Far beyond the slowest request (a check, 30 s): whoever holds a key for longer has died with its process.
const abandonedAfterMs = 120_000;

export type IdempotencyClaim =
  /** The request is to be carried out; complete or release the claim afterwards. */
  | { readonly kind: 'run'; readonly id: string }
  /** It was carried out before: answer by reading the resource again. */
  | { readonly kind: 'replay'; readonly resourceId: string; readonly statusCode: number };

/**
 * Claims an `Idempotency-Key` for the caller and route. `request` is all that makes requests the same: path parameters and body.
 * Throws `idempotency_key_reused` for another request under the key, `conflict` while the first one is still being carried out.
 */
export async function claimIdempotencyKey(
  context: UsecaseContext,
  principal: Principal,
  input: { route: string; key: string; request: unknown },
): Promise<IdempotencyClaim> {
  const db = context.catalog.prisma;
  const address = { principal: principal.userId, route: input.route, key: input.key };
  const bodyHash = hashRequest(context.masterKey, input.request);
  // A second round is needed when an expired row was removed, a third when another request was faster at that.
  for (let round = 0; round < 3; round += 1) {
    const id = randomUUID();
    const expiresAt = new Date(Date.now() + idempotencyLifetimeMs);
    if (await insertIdempotencyKey(db, { ...address, id, bodyHash, expiresAt })) return { kind: 'run', id };
    const found = await findIdempotencyKey(db, address);
    if (!found) continue;
    if (found.expiresAt <= new Date()) {
      await removeIdempotencyKey(db, found.id);
      continue;
    }
    if (found.bodyHash !== bodyHash) {
      throw new TidemarkError('idempotency_key_reused', 'This Idempotency-Key was used with another request.');
    }
    if (found.statusCode !== null && found.resourceId !== null) {
      return { kind: 'replay', resourceId: found.resourceId, statusCode: found.statusCode };
    }
    if (await takeOverIdempotencyKey(db, found.id, new Date(Date.now() - abandonedAfterMs))) {
      return { kind: 'run', id: found.id };
    }
    break;
  }
  throw new TidemarkError('conflict', 'A request with this Idempotency-Key is still being carried out.', {
    retryAfterSeconds: 2,
  });
}

/**
 * Keyed by the master key: a body holds passwords, and a plain hash of a short one in the catalog could be guessed. Object keys
 * are sorted, so that the same JSON written in another order is the same request.
 */
function hashRequest(master: MasterKey, request: unknown): string {
  const key = Buffer.from(hkdfSync('sha256', master.bytes, new Uint8Array(0), 'tidemark idempotency v1', 32));
  const text = JSON.stringify(request, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHmac('sha256', key).update(text).digest('hex');
}
