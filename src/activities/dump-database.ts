import type { BackupRun } from '../catalog/runs/backup-run.js';
import { rememberServer } from '../catalog/runs/checks.js';
import { findSwapSince } from '../catalog/runs/swaps.js';
import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import { isSameServer } from '../domain/same-server.js';
import type { DumpSession } from '../engines/engine.js';
import { getEngine } from '../engines/registry.js';
import { takeDump } from '../recovery/take-dump.js';
import { attemptPrefix, backupOwner } from '../storage/layout.js';
import type { Activities, BackupSummary } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import { describeBackup } from './describe-backup.js';
import { pausingSession } from './faults.js';
import { connectionOf, engineContext } from './open-run.js';
import type { OpenedAttempt } from './run-attempt.js';
import { publishAttempt, runAttempt } from './run-attempt.js';

/** One attempt of a dump: from the source's snapshot to the published manifest and the completed row. */
export function dumpDatabase(deps: ActivityDeps): Activities['dumpDatabase'] {
  return (input) => runAttempt(deps, 'dump', input, dumpAndPublish);
}

async function dumpAndPublish(work: OpenedAttempt): Promise<BackupSummary> {
  const { deps, step, run, attempt, destination, keys, meter, startedAt } = work;
  await refuseSwap(deps, run, startedAt);
  const engine = getEngine(run.database.engine as EngineKind);
  const connection = await connectionOf(deps, run.database);
  const opened = await engine.openDump(connection, engineContext(deps, step), { fingerprint: true });
  const session = pausingSession(opened, deps.faults, step.signal);
  try {
    await checkIdentity(deps, run, session);
    meter.enter('dumping', session.estimatedBytes);
    const taken = await takeDump({
      session,
      destination,
      keyPrefix: attemptPrefix(backupOwner(run), run.id, attempt.attemptId),
      key: keys.encryption,
      context: { installation: deps.installationId, backup: run.id },
      signal: step.signal,
      onBytes: (bytes) => meter.set(bytes),
      onTable: () => {},
    });
    await refuseSwap(deps, run, startedAt);
    return await publishAttempt(
      work,
      () => describeBackup({ deps, run, attempt, session, connection, keys, taken, startedAt }),
      session.estimatedBytes,
    );
  } finally {
    await session.close();
  }
}

/** A restore that is being put in place of the source, or was since the dump began: the next attempt reads what then stands there. */
async function refuseSwap(deps: ActivityDeps, run: BackupRun, since: Date): Promise<void> {
  const restoreId = await findSwapSince(deps.catalog, run.database, since);
  if (restoreId === null) return;
  throw new TidemarkError(
    'source_changed_during_dump',
    `The restore ${restoreId} is putting other content into ${run.database.name}, or did so while it was read.`,
    { object: run.database.id, references: [restoreId] },
  );
}

/** A backup under the name of one database must not hold another: after a fail-over or a typo a check has to confirm the new server first. */
async function checkIdentity(deps: ActivityDeps, run: BackupRun, session: DumpSession): Promise<void> {
  const known = run.database.server;
  if (known !== null && !isSameServer(known.identity, session.server.identity)) {
    throw new TidemarkError(
      'server_identity_changed',
      `At ${run.database.host}:${run.database.port} answers ${session.server.identity}; the backups of ${run.database.name} are of ${known.identity}. Check the database to accept the new server.`,
      { object: run.database.id },
    );
  }
  await rememberServer(deps.catalog, session.server);
}
