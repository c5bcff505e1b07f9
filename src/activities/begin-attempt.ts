import { beginAttempt as begin, endAttempt as end } from '../catalog/runs/backup-run.js';
import type { Activities } from '../workflows/activity-types.js';
import type { RunResult } from '../workflows/messages.js';
import type { ActivityDeps } from './deps.js';
import { runShort } from './run-step.js';

export function beginAttempt(deps: ActivityDeps): Activities['beginAttempt'] {
  return (input) =>
    runShort(deps, 'begin-attempt', async () => {
      const begun = await begin(deps.catalog, input.backupId);
      if (begun.state === 'settled') {
        return { state: 'settled', result: toResult(begun) };
      }
      const { attemptId, number, token, planId, kind } = begun;
      return { state: 'begun', attempt: { attemptId, number, token }, planId, kind };
    });
}

export function endAttempt(deps: ActivityDeps): Activities['endAttempt'] {
  return (input) => runShort(deps, 'end-attempt', () => end(deps.catalog, input.attempt.attemptId, input.error));
}

/** The result of a row that is settled; a row that is not would be an error of ours. */
export function toResult(row: { status: string; code: RunResult['code'] }): RunResult {
  const status = row.status as RunResult['status'];
  return { status, code: status === 'completed' ? null : row.code };
}
