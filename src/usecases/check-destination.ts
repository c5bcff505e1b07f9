import type { CheckResult } from '../domain/schemas/checks.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDestination } from './get-destination.js';
import { presentDestination } from './present/present-destination.js';
import { runCheck } from './runs/run-check.js';

/** Puts, gets, lists and deletes a probe object from a worker, within 30 s. */
export async function checkDestination(
  context: UsecaseContext,
  principal: Principal,
  input: { destinationId: string },
): Promise<CheckResult> {
  const before = await requireDestination(context, principal, input.destinationId);
  const problem = await runCheck(context, { kind: 'destination', id: before.id, name: before.name });
  const row = presentDestination(await requireDestination(context, principal, input.destinationId));
  const checkedAt = row.credentialsVerifiedAt;
  if (problem !== null) return { ok: false, checkedAt, findings: [problem] };
  if (row.checkError !== null) {
    return { ok: false, checkedAt, findings: [{ severity: 'refuses', ...row.checkError, statement: null }] };
  }
  const message = 'Writing, reading, listing and deleting work.';
  return {
    ok: true,
    checkedAt,
    findings: [{ severity: 'info', code: 'credentials_verified', message, statement: null }],
  };
}
