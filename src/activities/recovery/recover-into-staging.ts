import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { noteOnRestore } from '../../catalog/runs/note-on-restore.js';
import { recoveryWindow } from '../../catalog/runs/recovery-window.js';
import type { RestoreRun } from '../../catalog/runs/restore-run.js';
import { readRestoreRun, writeRestoreFacts } from '../../catalog/runs/restore-run.js';
import { findSlicesInRange } from '../../catalog/runs/slices.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import type { RecoveryPlan } from '../../domain/recovery-plan.js';
import { windowText } from '../../domain/recovery-window.js';
import type { RestoreNote } from '../../domain/schemas/restores.js';
import { restoreNotesSchema } from '../../domain/schemas/restores.js';
import type { LogFile, RecoverOptions, Sandbox } from '../../engines/chain-engine.js';
import { FETCHING_LOG } from '../../engines/chain-engine.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import { compareRestored } from '../../recovery/compare.js';
import { openRecovered, pipedParts, requireRecovered } from '../../recovery/deliver-from-sandbox.js';
import { assembleRange, recoverableBackup } from '../../recovery/recover-range.js';
import { recoverWhileFetching } from '../../recovery/recover-while-fetching.js';
import { readRecords } from '../../recovery/resume-log.js';
import type { Destination } from '../../storage/destination.js';
import type { VerifiedManifest } from '../../storage/read-manifest.js';
import { readManifest } from '../../storage/read-manifest.js';
import type { Activities, RecoveryResult } from '../../workflows/activity-types.js';
import { fitToTarget, judge, makePlace } from '../build-staging.js';
import type { ActivityDeps } from '../deps.js';
import { beginRestoreStep, restoreMeter, withTarget } from '../open-restore.js';
import { engineContext, keyOpener, openStore } from '../open-run.js';
import type { Step } from '../run-step.js';
import { runStep } from '../run-step.js';
import { noteDamage } from './pass-over-damage.js';
import { planAroundDamage, pointOf, requireChain, requireSandboxSpace } from './prepare-recovery.js';

type Work = {
  readonly deps: ActivityDeps;
  readonly step: Step;
  readonly run: RestoreRun;
  readonly token: number;
  readonly plan: RecoveryPlan;
  readonly destination: Destination;
  /** Of this try alone; removed when it ends. */
  readonly dir: string;
};

/**
 * Recovers the whole server in a private sandbox, exactly to the point, and loads the one database from there into staging on the target;
 * both are read and compared. A new try starts over in a fresh sandbox; so does one that found a backup damaged, with an older one.
 */
export function recoverIntoStaging(deps: ActivityDeps): Activities['recoverIntoStaging'] {
  return ({ restoreId }) =>
    runStep(deps, 'recover-into-staging', async (step) => {
      const { run: begun, token } = await beginRestoreStep(deps, restoreId);
      let run = begun;
      const passedOver = earlierNotes(begun);
      for (;;) {
        const plan = run.recovery as RecoveryPlan | null;
        if (plan === null) throw new TidemarkError('internal', `The restore ${restoreId} was not prepared.`);
        try {
          return await inFreshSandbox({ deps, step, run, token, plan });
        } catch (error) {
          step.signal.throwIfAborted();
          const note = await noteDamage(deps, run, requireChain(run), plan, error);
          if (note === null || pointOf(run) === null) throw await nameWindow(deps, requireChain(run), error);
          passedOver.push(note);
          const other = await planAroundDamage(deps, step, run, token, passedOver);
          await requireSandboxSpace(deps, requireChain(run), other);
          run = await readRestoreRun(deps.catalog, restoreId);
        }
      }
    });
}

/** A point of which only the log itself could tell that it lies outside is refused as any other: with the window named. */
async function nameWindow({ catalog }: ActivityDeps, chainId: string, error: unknown): Promise<unknown> {
  if (!isTidemarkError(error) || error.code !== 'outside_window') return error;
  const window = windowText(await recoveryWindow(catalog, { chainId }));
  const message = `${error.message} The recovery window: ${window}.`;
  return new TidemarkError('outside_window', message, error.details, { cause: error });
}

/** What was passed over when the recovery was prepared, or by an earlier try. */
function earlierNotes({ notes }: RestoreRun): RestoreNote[] {
  return restoreNotesSchema
    .catch([])
    .parse(notes)
    .filter(({ code }) => code === 'backup_damaged');
}

async function inFreshSandbox(work: Omit<Work, 'destination' | 'dir'>): Promise<RecoveryResult> {
  const { deps, run, token } = work;
  const destination = await openStore(deps, run.backup.destination);
  // Short: a socket lies below.
  const dir = join(deps.options.sandboxRoot, `${run.id.slice(-8)}-${token}`);
  try {
    await mkdir(dir, { recursive: true });
    await chmod(dir, 0o711);
    return await recoverAndLoad({ ...work, destination, dir });
  } finally {
    destination.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function recoverAndLoad(work: Work): Promise<RecoveryResult> {
  const { deps, step, run, token } = work;
  const meter = restoreMeter(deps, step, run, token, 'verify');
  const engine = getChainEngine(run.database.engine as EngineKind);
  let phase = '';
  let logBytes: number | null = null;
  const enter = (next: string, total: number | null = null) => {
    phase = next;
    meter.enter(next, total);
  };
  const options = {
    ...(await openSource(work)),
    onPhase: (next: string) => enter(next, next === FETCHING_LOG ? logBytes : null),
  };
  const sandbox = await recoverWhileFetching(engine, engineContext(deps, step), options, (signal) =>
    fetchLog(work, options.logDir, signal, {
      onBegin: (total) => {
        logBytes = total;
        if (phase === '') enter(FETCHING_LOG, total);
      },
      // Bytes of the log say nothing of what goes on beside it.
      onBytes: (bytes) => {
        if (phase === FETCHING_LOG) meter.set(bytes);
      },
    }),
  );
  try {
    await meter.flush();
    const { lastApplied, firstRefused } = sandbox;
    await writeRestoreFacts(deps.catalog, run.id, token, { lastApplied, firstRefused });
    await noteOnRestore(deps.catalog, run.id, token, noteLogEnded(work.plan, sandbox));
    await deps.faults.reach('recovered', step.signal);
    const delivered = await deliver(work, sandbox);
    return { ...delivered, lastApplied, firstRefused };
  } finally {
    await sandbox.close();
  }
}

/** Nothing later was read that could be refused: why, so that nobody takes it for a fact that was lost. */
function noteLogEnded({ target, log }: RecoveryPlan, { firstRefused }: Sandbox): RestoreNote[] {
  if (firstRefused !== null || log === null || target.kind === 'end_of_backup') return [];
  const { lsn, file, filePosition } = log.end;
  const end = lsn ?? `${file}:${filePosition}`;
  const message = `No transaction after the point was read: the stored log ended at ${end}, the end of the recovery window, when it was recovered.`;
  return [{ code: 'log_ended', message }];
}

/** Opens the backups and makes the folder of the log files. */
async function openSource(work: Work): Promise<Omit<RecoverOptions, 'onPhase' | 'logFiles'>> {
  const { deps, step, run, plan, destination, dir } = work;
  const manifests: VerifiedManifest[] = [];
  for (const backupId of plan.backupIds) {
    const ownerId = run.backup.serverId ?? run.backup.databaseId;
    manifests.push(
      await readManifest({ destination, ownerId, backupId, openKey: keyOpener(deps), signal: step.signal }),
    );
  }
  const logDir = join(dir, 'log');
  await mkdir(logDir);
  const source = manifests.at(-1)?.manifest.source;
  if (source === undefined) throw new TidemarkError('backup_not_restorable', 'The plan names no backup.');
  const { engine, identity, version, major } = source;
  return {
    dir,
    server: { engine, identity, version, major },
    backups: manifests.map((verified) => recoverableBackup(destination, verified)),
    logDir,
    logEnd: plan.log?.end ?? null,
    target: plan.target,
  };
}

/** Puts the log files of the plan into the folder. */
async function fetchLog(
  { deps, run, plan: { log }, destination }: Work,
  dir: string,
  signal: AbortSignal,
  progress: { onBegin(totalBytes: number): void; onBytes(bytes: number): void },
): Promise<readonly LogFile[]> {
  if (log === null) return [];
  const { serverId, policyId } = run.backup;
  const rows = await findSlicesInRange(deps.catalog, requireChain(run), log);
  const place = { destination, serverId: serverId ?? '', policyId: policyId ?? '', epoch: log.epoch };
  const store = { place, openKey: keyOpener(deps), signal };
  progress.onBegin(rows.reduce((sum, row) => sum + Number(row.bytes), 0));
  const slices = await readRecords(store, rows);
  return await assembleRange({ store, log, slices, dir, onBytes: progress.onBytes }).catch((error: unknown) => {
    throw explainFullDisk(error, dir);
  });
}

/** The backups are unpacked meanwhile, on the same disk. */
function explainFullDisk(error: unknown, dir: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new TidemarkError('sandbox_space', `The sandbox ran full while the log was fetched into ${dir}.`, {
    object: dir,
  });
}

/** From the sandbox into staging on the target: dumped, loaded, read again and compared. */
async function deliver(work: Work, sandbox: Sandbox): Promise<Pick<RecoveryResult, 'stagingName' | 'comparison'>> {
  const { deps, step, run, token } = work;
  const name = run.database.database;
  requireRecovered(sandbox, name);
  return await openRecovered(sandbox, engineContext(deps, step), name, (session, expected) =>
    withTarget(deps, step, run, token, async (target) => {
      const meter = restoreMeter(deps, step, run, token, 'load');
      const like = await fitToTarget(deps, run, token, target, expected);
      const stagingName = await makePlace(deps, run, token, target, like);
      meter.enter('loading', session.estimatedBytes);
      await target.load(
        stagingName,
        pipedParts(session, (bytes) => meter.set(bytes)),
      );
      await meter.flush();
      await deps.faults.reach('loaded', step.signal);
      const comparing = restoreMeter(deps, step, run, token, 'compare');
      comparing.enter('comparing', null);
      const found = await target.fingerprint(stagingName, (done, total) => comparing.setShare(done, total));
      await comparing.flush();
      const comparison = compareRestored(like, found);
      // Equal to the sandbox, which nobody could compare with the source at that moment.
      await judge(deps, run, token, comparison, 'transport');
      return { stagingName, comparison: { tables: comparison.tables, rows: comparison.rows } };
    }),
  );
}
