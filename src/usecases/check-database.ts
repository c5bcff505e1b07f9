import type { CheckResult } from '../domain/schemas/checks.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireDatabase } from './get-database.js';
import { presentDatabase } from './present/present-database.js';
import { changedMeanwhile, runCheck } from './runs/run-check.js';

/** Looks at a database from a worker, within 30 s; what was found also stands on the database. */
export async function checkDatabase(
  context: UsecaseContext,
  principal: Principal,
  input: { databaseId: string },
): Promise<CheckResult> {
  const before = await requireDatabase(context, principal, input.databaseId);
  const subject = { kind: 'database', id: before.id, name: before.name } as const;
  const problem = await runCheck(context, subject);
  const row = presentDatabase(await requireDatabase(context, principal, input.databaseId));
  if (problem !== null) return { ok: false, checkedAt: row.checkedAt, findings: [problem] };
  if (row.checkError !== null) {
    // What an earlier check found is not what this one saw.
    const findings = [{ severity: 'refuses' as const, ...row.checkError, statement: null }];
    return { ok: false, checkedAt: row.checkedAt, findings };
  }
  const { findings, checkedAt } = row;
  if (checkedAt === null) return { ok: false, checkedAt, findings: [changedMeanwhile(subject)] };
  return { ok: findings.every((one) => one.severity !== 'refuses'), checkedAt, findings };
}
