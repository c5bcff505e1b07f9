import { completeIdempotencyKey, releaseIdempotencyKey } from '../../catalog/idempotency-keys.js';
import type { UsecaseContext } from '../context.js';

/** Ends a claim: with the resource that was made, or (null) freed, because a refused request may be corrected and sent again. */
export async function settleIdempotencyKey(
  context: UsecaseContext,
  claimId: string,
  made: { resourceId: string; statusCode: number } | null,
): Promise<void> {
  const db = context.catalog.prisma;
  if (made) await completeIdempotencyKey(db, claimId, made.resourceId, made.statusCode);
  else await releaseIdempotencyKey(db, claimId);
}
