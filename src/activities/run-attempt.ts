import type { BackupRun } from '../catalog/runs/backup-run.js';
import { assertHoldsToken, readBackupRun, writeBackupProgress } from '../catalog/runs/backup-run.js';
import { claimLateRemoval } from '../catalog/runs/late-backups.js';
import { isTidemarkError } from '../domain/errors.js';
import type { Destination } from '../storage/destination.js';
import { backupOwner } from '../storage/layout.js';
import { claimDestination } from '../storage/owner.js';
import { removeAttempt, removeBackup } from '../storage/remove-backup.js';
import type { ManifestContent } from '../storage/write-manifest.js';
import { writeManifest } from '../storage/write-manifest.js';
import type { BackupAttempt, BackupSummary } from '../workflows/activity-types.js';
import { adoptPublished, findManifest, recordPublished, summaryOf } from './adopt-manifest.js';
import { assertMounted } from './assert-mounted.js';
import type { ActivityDeps } from './deps.js';
import type { BackupKeys } from './open-run.js';
import { keysOf, openStore } from './open-run.js';
import { ProgressMeter, shownPercent } from './progress.js';
import type { Step } from './run-step.js';
import { runStep } from './run-step.js';

/** Cleaning up after a failure gets this long of its own: the step's signal may be the reason for the failure. */
const CLEAN_UP_MS = 30_000;

/** One attempt at a backup, with what every kind of it needs. */
export type Attempt = {
  readonly deps: ActivityDeps;
  readonly step: Step;
  readonly run: BackupRun;
  readonly attempt: BackupAttempt;
  readonly destination: Destination;
};

export type OpenedAttempt = Attempt & {
  readonly keys: BackupKeys;
  readonly meter: ProgressMeter;
  readonly startedAt: Date;
};

/**
 * Runs one attempt of a backup, whatever is backed up: adopts what an earlier attempt has published, else lets `take` write the objects and
 * publish; after a failure what this attempt wrote is removed.
 */
export async function runAttempt(
  deps: ActivityDeps,
  name: string,
  { backupId, attempt }: { backupId: string; attempt: BackupAttempt },
  take: (work: OpenedAttempt) => Promise<BackupSummary>,
): Promise<BackupSummary> {
  return await runStep(deps, name, async (step) => {
    const run = await readBackupRun(deps.catalog, backupId);
    const destination = await openStore(deps, run.destination);
    const work = { deps, step, run, attempt, destination };
    try {
      const adopted = await adoptPublished(deps, run, attempt.token, destination, step.signal);
      if (adopted !== null) return adopted;
      return await takeOrRemove(work, take);
    } finally {
      destination.close();
    }
  });
}

async function takeOrRemove(
  work: Attempt,
  take: (work: OpenedAttempt) => Promise<BackupSummary>,
): Promise<BackupSummary> {
  const { deps, run } = work;
  const meter = meterOf(work);
  try {
    const startedAt = new Date();
    meter.enter('connecting');
    await assertMounted(deps, run.destination, work.destination, work.step.signal);
    const { destination, step } = work;
    await claimDestination({ destination, installationId: deps.installationId, signal: step.signal });
    return await take({ ...work, keys: await keysOf(deps, run), meter, startedAt });
  } catch (error) {
    const own = await removeOwn(work, error).catch((reason: unknown) => {
      deps.logger.warn({ err: reason, backupId: run.id }, 'objects of a failed attempt stay for now');
      return null;
    });
    if (own !== null) return own;
    throw error;
  } finally {
    await meter.flush();
  }
}

function meterOf({ deps, step, run, attempt }: Attempt): ProgressMeter {
  return new ProgressMeter({
    floor: shownPercent(run.progress),
    write: (progress) => writeBackupProgress(deps.catalog, run.id, attempt.token, progress),
    report: step.report,
  });
}

/** Publishes what was taken: manifest, then the completed row, both only for the holder of the newest token. */
export async function publishAttempt(
  work: OpenedAttempt,
  describe: () => ManifestContent,
  databaseBytes: number | null,
): Promise<BackupSummary> {
  const { deps, step, run, attempt, destination, keys, meter } = work;
  meter.enter('publishing');
  await deps.faults.reach('before-manifest');
  await meter.flush();
  const content = describe();
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
  await recordPublished(deps, manifest, attempt.token, databaseBytes);
  return summaryOf(manifest, destination, false);
}

/** Removes what an attempt has written so far. Only while no manifest names it. */
export async function removeWritten({ run, attempt, destination }: Attempt, signal: AbortSignal): Promise<void> {
  await removeAttempt({
    destination,
    ownerId: backupOwner(run),
    backupId: run.id,
    attemptId: attempt.attemptId,
    signal,
  });
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
  await removeWritten(work, signal);
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
