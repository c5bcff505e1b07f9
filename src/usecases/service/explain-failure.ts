import { isCatalogUnavailable } from '../../catalog/unavailable.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';

// gRPC codes of a Temporal that is away, overloaded or slow: CANCELLED is what a closing connection gives.
const temporalAway = new Set([1, 4, 8, 14]);

/** Turns whatever a use case threw into an error of the table: a component that is away is 503, anything unknown `internal`. */
export function explainFailure(error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error;
  if (isCatalogUnavailable(error)) {
    return new TidemarkError('service_unavailable', 'The catalog does not answer.', {}, { cause: error });
  }
  if (isTemporalAway(error)) {
    return new TidemarkError('service_unavailable', 'Temporal does not answer.', {}, { cause: error });
  }
  return new TidemarkError('internal', 'An unexpected error.', {}, { cause: error });
}

function isTemporalAway(error: unknown): boolean {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth += 1) {
    const { code, details } = at as { code?: unknown; details?: unknown };
    // Only gRPC errors carry both.
    if (typeof code === 'number' && typeof details === 'string' && temporalAway.has(code)) return true;
  }
  return false;
}
