import type { ErrorCode } from '../domain/errors.js';
import { activities } from './activity-options.js';
import type { CheckDatabaseInput } from './messages.js';

/** Looks at a database from where the workers are; what was found stands on its row. */
export async function checkDatabase(input: CheckDatabaseInput): Promise<{ ok: boolean; code: ErrorCode | null }> {
  return await activities.check.checkDatabase(input);
}
