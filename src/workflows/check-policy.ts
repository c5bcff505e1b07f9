import type { ErrorCode } from '../domain/errors.js';
import { activities } from './activity-options.js';
import type { CheckPolicyInput } from './messages.js';

/** Checks from where the workers are what a policy needs before a database is attached; the result stands on the policy's row. */
export async function checkPolicy(input: CheckPolicyInput): Promise<{ ok: boolean; code: ErrorCode | null }> {
  return await activities.check.checkPolicy(input);
}
