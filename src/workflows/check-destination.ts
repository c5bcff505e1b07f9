import type { ErrorCode } from '../domain/errors.js';
import { activities } from './activity-options.js';
import type { CheckDestinationInput } from './messages.js';

/** Puts, gets, lists and deletes a probe object from where the workers are; the result stands on the destination's row. */
export async function checkDestination(input: CheckDestinationInput): Promise<{ ok: boolean; code: ErrorCode | null }> {
  return await activities.check.checkDestination(input);
}
