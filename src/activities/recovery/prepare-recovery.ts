import { statfs } from 'node:fs/promises';
import { noteOnRestore } from '../../catalog/runs/note-on-restore.js';
import { readPlanInput } from '../../catalog/runs/recovery-window.js';
import type { RestoreRun } from '../../catalog/runs/restore-run.js';
import { writeRestoreFacts } from '../../catalog/runs/restore-run.js';
import { findSlicesInRange } from '../../catalog/runs/slices.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { TidemarkError } from '../../domain/errors.js';
import type { RecoveryPlan } from '../../domain/recovery-plan.js';
import { planBackup, planPoint, pointText } from '../../domain/recovery-plan.js';
import type { RecoveryTarget } from '../../domain/recovery-target.js';
import type { RestoreNote } from '../../domain/schemas/restores.js';
import { assertNotOriginal, assertSpace, decideWay, estimateSpace } from '../../recovery/decide-way.js';
import { leaveOutLater } from '../../recovery/leave-out-later.js';
import { noOtherWay } from '../../recovery/pass-over.js';
import type { RestorePreparation } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { withTarget } from '../open-restore.js';
import type { Step } from '../run-step.js';
import { inspectBackups, noteDamage } from './pass-over-damage.js';

/** What a server makes beside the data itself: its log, temporary files. */
const MARGIN = 512 * 1024 * 1024;

/** As the request was recorded; what else may stand there is a backup. */
type PointSource = { kind: 'pitr'; time?: string; position?: string; before?: boolean };

/** True when the restore's source has to be replayed in a sandbox first: a full, an incremental, or a point in time. */
export function needsRecovery(run: RestoreRun): boolean {
  return pointOf(run) !== null || run.backup.kind === 'full' || run.backup.kind === 'incremental';
}

export function pointOf(run: RestoreRun): PointSource | null {
  const source = run.source as { kind: string };
  return source.kind === 'pitr' ? (source as PointSource) : null;
}

function targetOf({ time, position, before = false }: PointSource): RecoveryTarget {
  if (time !== undefined) return { kind: 'time', time, before };
  return position === undefined ? { kind: 'latest' } : { kind: 'position', position, before };
}

/**
 * Decides what the recovery reads, pins it, and looks at the target and at the space for the sandbox. Nothing is written elsewhere yet.
 * Throws `outside_window`, `backup_not_restorable`, `sandbox_space`, or what a restore's preparation throws.
 */
export async function prepareRecovery(
  deps: ActivityDeps,
  step: Step,
  run: RestoreRun,
  token: number,
): Promise<RestorePreparation> {
  const chainId = requireChain(run);
  const plan = await planAroundDamage(deps, step, run, token);
  const bytes = await requireSandboxSpace(deps, chainId, plan);
  const estimatedBytes = estimateSpace({ dumpBytes: 0, databaseBytes: Number(run.database.sizeBytes ?? 0n) });
  return await withTarget(deps, step, run, token, async (session) => {
    const found = await session.inspect(run.targetName);
    const way = decideWay({ name: run.targetName, overwrite: run.overwrite }, found);
    const { targetName: name, mayReplaceOriginal, database } = run;
    assertNotOriginal({ name, identity: session.server.identity, mayReplaceOriginal }, found, [
      { identity: run.backup.server?.identity ?? null, database: database.database },
      // Since the backup the database may have been moved to another server.
      { identity: database.server?.identity ?? null, database: database.database },
    ]);
    assertSpace(name, estimatedBytes, found.freeBytes);
    await writeRestoreFacts(deps.catalog, run.id, token, { way });
    return {
      state: 'ready',
      way,
      targetExists: found.exists,
      bytes,
      estimatedBytes,
      place: `${name} on ${run.targetHost}:${run.targetPort}`,
      recovery: planText(plan),
    };
  });
}

/** The chain whose backups and log are read. Throws `backup_not_restorable` for a backup of none. */
export function requireChain(run: RestoreRun): string {
  if (run.backup.chainId !== null) return run.backup.chainId;
  throw new TidemarkError('backup_not_restorable', `Backup ${run.backupId} belongs to no chain.`, {
    object: run.backupId,
  });
}

/**
 * Decides what the recovery reads and pins it, backups that turn out to be damaged being passed over: with an older one and more of the log
 * the same point is reached. `found`: what is known of an earlier plan. Each that is passed over is said on the restore, and people are told.
 */
export async function planAroundDamage(
  deps: ActivityDeps,
  step: Step,
  run: RestoreRun,
  token: number,
  found: readonly RestoreNote[] = [],
): Promise<RecoveryPlan> {
  const chainId = requireChain(run);
  const notes = [...found];
  for (;;) {
    const plan = await planOf(deps, run, chainId).catch((error: unknown) => {
      throw noOtherWay(error, notes);
    });
    // Pinned before anything is read: retention leaves alone what stands here.
    await writeRestoreFacts(deps.catalog, run.id, token, {
      recovery: plan,
      ...(pointOf(run) === null ? {} : { backupId: plan.backupIds.at(-1) ?? run.backupId }),
    });
    if (notes.length > 0) await noteOnRestore(deps.catalog, run.id, token, notes);
    try {
      await inspectBackups(deps, step, run, plan);
      return plan;
    } catch (error) {
      const note = await noteDamage(deps, run, chainId, plan, error);
      if (note === null || pointOf(run) === null) throw error;
      notes.push(note);
    }
  }
}

async function planOf(deps: ActivityDeps, run: RestoreRun, chainId: string): Promise<RecoveryPlan> {
  const input = await readPlanInput(deps.catalog, chainId);
  const point = pointOf(run);
  if (point === null) return planBackup(input, run.backupId);
  const target = targetOf(point);
  return planPoint(leaveOutLater(input, run.database.engine as EngineKind, target), target);
}

/** For people: `bkp_1 and 1 more, then 12 log slices, up to …`. */
function planText({ backupIds, log, target }: RecoveryPlan): string {
  const more = backupIds.length > 1 ? ` and ${backupIds.length - 1} incremental(s)` : '';
  const point = target.kind === 'end_of_backup' ? '' : `; ${pointText(target).toLowerCase()}`;
  return `${backupIds[0]}${more}${log === null ? '' : `, log slices ${log.fromSeq} to ${log.toSeq}`}${point}`;
}

/** Room for the extracted backups, what they are combined to, the log, and what replaying it makes. Returns the bytes that will be read. */
export async function requireSandboxSpace(deps: ActivityDeps, chainId: string, plan: RecoveryPlan): Promise<number> {
  const rows = await deps.catalog.prisma.backup.findMany({
    where: { id: { in: [...plan.backupIds] } },
    select: { kind: true, bytes: true },
  });
  const size = (kind: string) =>
    rows.filter((row) => row.kind === kind).reduce((sum, row) => sum + Number(row.bytes ?? 0n), 0);
  const slices = plan.log === null ? [] : await findSlicesInRange(deps.catalog, chainId, plan.log);
  const log = slices.reduce((sum, slice) => sum + Number(slice.bytes), 0);
  const [full, incrementals] = [size('full'), size('incremental')];
  const needed = full * (incrementals > 0 ? 2 : 1) + incrementals + log * 2 + MARGIN;
  const { bavail, bsize } = await statfs(deps.options.sandboxRoot);
  const free = bavail * bsize;
  if (free < needed) {
    const mib = (bytes: number) => `${Math.ceil(bytes / 1_048_576)} MiB`;
    throw new TidemarkError(
      'sandbox_space',
      `The sandbox for this recovery needs about ${mib(needed)}; ${deps.options.sandboxRoot} has ${mib(free)} free. Nothing was written.`,
      { object: deps.options.sandboxRoot },
    );
  }
  return full + incrementals + log;
}
