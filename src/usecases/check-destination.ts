import { recordAudit } from '../catalog/audit-events.js';
import type { CheckResult } from '../domain/schemas/checks.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDestination } from './get-destination.js';
import { presentDestination } from './present/present-destination.js';
import { changedMeanwhile, runCheck } from './runs/run-check.js';
import { assertAdmin } from './shared/refusals.js';

/** Puts, gets, lists and deletes a probe object from a worker, within 30 s. */
export async function checkDestination(
  context: UsecaseContext,
  principal: Principal,
  input: { destinationId: string },
): Promise<CheckResult> {
  return await look(context, principal, input.destinationId, false);
}

/**
 * Makes this installation the writer of a destination that another one owns, as after the loss of a catalog. What the other wrote stays
 * and is never swept; its own next attempt is refused. Admins only, because two writers would apply two retentions.
 */
export async function takeOverDestination(
  context: UsecaseContext,
  principal: Principal,
  input: { destinationId: string },
): Promise<CheckResult> {
  assertAdmin(principal, 'take a destination over');
  const { id } = await requireDestination(context, principal, input.destinationId);
  await recordAudit(context.catalog.prisma, principal, 'destination.take_over_requested', id);
  return await look(context, principal, id, true);
}

async function look(
  context: UsecaseContext,
  principal: Principal,
  destinationId: string,
  takeOver: boolean,
): Promise<CheckResult> {
  const before = await requireDestination(context, principal, destinationId);
  const subject = { kind: 'destination', id: before.id, name: before.name, takeOver } as const;
  const problem = await runCheck(context, subject);
  const row = presentDestination(await requireDestination(context, principal, destinationId));
  const checkedAt = row.credentialsVerifiedAt;
  if (problem !== null) return { ok: false, checkedAt, findings: [problem] };
  if (row.checkError !== null) {
    return { ok: false, checkedAt, findings: [{ severity: 'refuses', ...row.checkError, statement: null }] };
  }
  if (checkedAt === null) return { ok: false, checkedAt, findings: [changedMeanwhile(subject)] };
  const message = 'Writing, reading, listing and deleting work.';
  return {
    ok: true,
    checkedAt,
    findings: [{ severity: 'info', code: 'credentials_verified', message, statement: null }],
  };
}
