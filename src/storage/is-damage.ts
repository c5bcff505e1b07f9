import type { ErrorCode, TidemarkError } from '../domain/errors.js';
import { isTidemarkError } from '../domain/errors.js';

const damage: ReadonlySet<ErrorCode> = new Set([
  'object_missing',
  'object_corrupt',
  'manifest_missing',
  'manifest_forged',
] as const);

/**
 * Whether what is stored is not what was written: missing, changed or exchanged. A store that does not answer, or a key that is not at hand,
 * says nothing about what is stored.
 */
export function isDamage(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && damage.has(error.code);
}
