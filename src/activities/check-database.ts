import { readDatabaseAddress, recordDatabaseCheck, recordDatabaseCheckError } from '../catalog/runs/checks.js';
import type { EngineKind } from '../domain/engine-kinds.js';
import { isTidemarkError, TidemarkError, toRecordedError } from '../domain/errors.js';
import { isSameServer } from '../domain/same-server.js';
import type { CheckFinding } from '../engines/engine.js';
import { getEngine } from '../engines/registry.js';
import type { Activities } from '../workflows/activity-types.js';
import { checkServer } from './check-server.js';
import type { ActivityDeps } from './deps.js';
import { connectionOf, engineContext } from './open-run.js';
import { runStep } from './run-step.js';

/** Checks a database and writes what was found on its row. A check that cannot be made is a result too, not a failure of the run. */
export function checkDatabase(deps: ActivityDeps): Activities['checkDatabase'] {
  return ({ databaseId }) =>
    runStep(deps, 'check-database', async (step) => {
      // Before the row: a change in between makes the two differ, never the other way round.
      const seen = await readDatabaseAddress(deps.catalog.prisma, databaseId);
      const row = await deps.catalog.prisma.database.findUnique({
        where: { id: databaseId },
        include: { server: true },
      });
      if (row === null || row.deletedAt !== null) {
        throw new TidemarkError('not_found', `There is no database ${databaseId}.`, { object: databaseId });
      }
      const began = Date.now();
      try {
        const connection = await connectionOf(deps, row);
        const found = await getEngine(row.engine as EngineKind).check(connection, engineContext(deps, step));
        const moved = row.server !== null && !isSameServer(row.server.identity, found.server.identity);
        const whole = await checkServer(deps, step, { connection, found, began });
        const findings = moved
          ? [...whole.findings, anotherServer(row.server?.identity, found.server.identity)]
          : whole.findings;
        await recordDatabaseCheck(deps.catalog, databaseId, seen, { ...found, ...whole, findings });
        return { ok: true, code: null };
      } catch (error) {
        if (!isTidemarkError(error) || step.signal.aborted) throw error;
        await recordDatabaseCheckError(deps.catalog, databaseId, seen, toRecordedError(error));
        return { ok: false, code: error.code };
      }
    });
}

function anotherServer(before: string | undefined, now: string): CheckFinding {
  return {
    severity: 'warns',
    code: 'server_identity_changed',
    message: `Another server answers at this address than at the last check (${now} instead of ${before}). From now on backups are of the new one.`,
    statement: null,
  };
}
