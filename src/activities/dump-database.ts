import type { BackupRun } from '../catalog/runs/backup-run.js';
import { assertHoldsToken, readBackupRun, writeBackupProgress } from '../catalog/runs/backup-run.js';
import { rememberServer } from '../catalog/runs/checks.js';
import { claimLateRemoval } from '../catalog/runs/late-backups.js';
import { findSwapSince } from '../catalog/runs/swaps.js';
import type { EngineKind } from '../domain/engine-kinds.js';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { DumpSession } from '../engines/engine.js';
import { getEngine } from '../engines/registry.js';
import { takeDump } from '../recovery/take-dump.js';
import type { Destination } from '../storage/destination.js';
import { attemptPrefix, backupOwner } from '../storage/layout.js';
import { claimDestination } from '../storage/owner.js';
import { removeAttempt, removeBackup } from '../storage/remove-backup.js';
import { writeManifest } from '../storage/write-manifest.js';
import type { Activities, BackupAttempt, BackupSummary } from '../workflows/activity-types.js';
import { adoptPublished, findManifest, recordPublished, summaryOf } from './adopt-manifest.js';
import { assertMounted } from './assert-mounted.js';
import type { ActivityDeps } from './deps.js';
import { describeBackup } from './describe-backup.js';
import { pausingSession } from './faults.js';
import { connectionOf, engineContext, keysOf, openStore } from './open-run.js';
import { ProgressMeter, shownPercent } from './progress.js';
import type { Step } from './run-step.js';
import { runStep } from './run-step.js';

/** Cleaning up after a failure gets this long of its own: the step's signal may be the reason for the failure. */
const CLEAN_UP_MS = 30_000;

type Attempt = {
  readonly deps: ActivityDeps;
  readonly step: Step;
  readonly run: BackupRun;
  readonly attempt: BackupAttempt;
  readonly destination: Destination;
};

/** One attempt of a dump: from the source's snapshot to the published manifest and the completed row. */
export function dumpDatabase(deps: ActivityDeps): Activities['dumpDatabase'] {
  return ({ backupId, attempt }) =>
    runStep(deps, 'dump', async (step) => {
      const run = await readBackupRun(deps.catalog, backupId);
      const destination = await openStore(deps, run.destination);
      try {
        const adopted = await adoptPublished(deps, run, attempt.token, destination, step.signal);
        if (adopted !== null) return adopted;
        return await takeAndPublish({ deps, step, run, attempt, destination });
      } finally {
        destination.close();
      }
    });
}

async function takeAndPublish(work: Attempt): Promise<BackupSummary> {
  try {
    return await dumpAndPublish(work);
  } catch (error) {
    const own = await removeOwn(work, error).catch((reason: unknown) => {
      work.deps.logger.warn({ err: reason, backupId: work.run.id }, 'objects of a failed attempt stay for now');
      return null;
    });
    if (own !== null) return own;
    throw error;
  }
}

async function dumpAndPublish(work: Attempt): Promise<BackupSummary> {
  const { deps, step, run, attempt, destination } = work;
  const startedAt = new Date();
  await refuseSwap(deps, run, startedAt);
  const meter = new ProgressMeter({
    floor: shownPercent(run.progress),
    write: (progress) => writeBackupProgress(deps.catalog, run.id, attempt.token, progress),
    report: step.report,
  });
  meter.enter('connecting');
  await assertMounted(deps, run.destination, destination, step.signal);
  await claimDestination({ destination, installationId: deps.installationId, signal: step.signal });
  const keys = await keysOf(deps, run);
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
    meter.enter('publishing');
    await deps.faults.reach('before-manifest');
    await meter.flush();
    const content = describeBackup({ deps, run, attempt, session, connection, keys, taken, startedAt });
    // From here to the manifest nothing is awaited but these two: an attempt that was stopped before is refused here, and one that is
    // stopped in between loses to the manifest or the token of the attempt that replaced it.
    await assertHoldsToken(deps.catalog, run.id, attempt.token);
    const manifest = await writeManifest({
      destination,
      manifest: content,
      key: keys.manifest,
      sealedKey: keys.sealed,
      signal: step.signal,
    });
    await deps.faults.reach('after-manifest');
    await recordPublished(deps, manifest, attempt.token, session.estimatedBytes);
    return summaryOf(manifest, destination, false);
  } finally {
    await meter.flush();
    await session.close();
  }
}

/**
 * After a failure: removes what this attempt wrote, unless a manifest names it. When the manifest is another attempt's and this one
 * still holds the token, that manifest is the backup: it is adopted instead of failing.
 */
async function removeOwn(work: Attempt, error: unknown): Promise<BackupSummary | null> {
  const { deps, run, attempt, destination } = work;
  const signal = AbortSignal.timeout(CLEAN_UP_MS);
  const manifest = await findManifest(deps, run, destination, signal);
  if (manifest?.attemptId === attempt.attemptId) {
    await removeUnwanted(work, signal);
    return null;
  }
  const place = { ownerId: backupOwner(run), backupId: run.id, attemptId: attempt.attemptId };
  await removeAttempt({ destination, ...place, signal });
  if (manifest === null || !isTidemarkError(error) || error.code !== 'manifest_exists') return null;
  return await adoptPublished(deps, run, attempt.token, destination, work.step.signal);
}

/**
 * Our manifest is there and the row is not ours any more. While a newer attempt runs it will adopt the manifest. If the run was settled
 * without a backup in the meantime, a manifest must not say otherwise.
 */
async function removeUnwanted({ deps, run, destination }: Attempt, signal: AbortSignal): Promise<void> {
  if (!(await claimLateRemoval(deps.catalog, run.id))) return;
  await removeBackup({ destination, ownerId: backupOwner(run), backupId: run.id, signal });
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
  if (known !== null && known.identity !== session.server.identity) {
    throw new TidemarkError(
      'server_identity_changed',
      `At ${run.database.host}:${run.database.port} answers ${session.server.identity}; the backups of ${run.database.name} are of ${known.identity}. Check the database to accept the new server.`,
      { object: run.database.id },
    );
  }
  await rememberServer(deps.catalog, session.server);
}
