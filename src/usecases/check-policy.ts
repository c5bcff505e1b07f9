import type { CheckResult } from '../domain/schemas/checks.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePolicy } from './get-policy.js';
import { errorColumn } from './present/present-database.js';
import { timeText } from './present/times.js';
import { changedMeanwhile, runCheck } from './runs/run-check.js';

/**
 * Proves from a worker, within 30 s, that the policy can write to its destination and open its key. One that is `validating` or in
 * `error` becomes active by it.
 */
export async function checkPolicy(
  context: UsecaseContext,
  principal: Principal,
  input: { policyId: string },
): Promise<CheckResult> {
  const before = await requirePolicy(context, principal, input.policyId);
  const subject = { kind: 'policy', id: before.id, name: before.name } as const;
  const problem = await runCheck(context, subject);
  const row = await requirePolicy(context, principal, input.policyId);
  const checkedAt = timeText(row.credentialsVerifiedAt);
  if (problem !== null) return { ok: false, checkedAt, findings: [problem] };
  const error = errorColumn.parse(row.lastError);
  if (error !== null) return { ok: false, checkedAt, findings: [{ severity: 'refuses', ...error, statement: null }] };
  if (checkedAt === null) return { ok: false, checkedAt, findings: [changedMeanwhile(subject)] };
  const message = 'The destination takes, gives and deletes objects, and the key of the policy opens.';
  return {
    ok: true,
    checkedAt,
    findings: [{ severity: 'info', code: 'credentials_verified', message, statement: null }],
  };
}
