import type { ErrorCode } from '../../domain/errors.js';
import { TidemarkError } from '../../domain/errors.js';
import type { RecoveryPlan } from '../../domain/recovery-plan.js';
import type { StopPoint } from '../../domain/recovery-target.js';
import type { ProofLevel, RestoreStatus } from '../../domain/statuses.js';
import { isActive, proofLevels } from '../../domain/statuses.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { recordedCode } from './backup-run.js';
import { noJson, toJson } from './run-json.js';

/** Everything an activity needs to know of a restore and of the backup it reads. */
export async function readRestoreRun(catalog: Catalog, restoreId: string) {
  const restore = await catalog.prisma.restore.findUnique({
    where: { id: restoreId },
    include: {
      backup: { include: { destination: true, key: true, server: true, database: { include: { server: true } } } },
      database: { include: { server: true } },
    },
  });
  if (restore === null)
    throw new TidemarkError('not_found', `There is no restore ${restoreId}.`, { object: restoreId });
  return restore;
}
export type RestoreRun = Awaited<ReturnType<typeof readRestoreRun>>;

export type RestoreStart =
  | { readonly state: 'active'; readonly token: number }
  | { readonly state: 'settled'; readonly status: RestoreStatus; readonly code: ErrorCode | null };

/** Raises the restore's token: what an earlier try still does is refused, and its sessions on the target server are ended. */
export async function raiseRestoreToken(catalog: Catalog, restoreId: string): Promise<RestoreStart> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Restore" where id = ${restoreId} for update`;
    const restore = await tx.restore.findUnique({ where: { id: restoreId } });
    if (restore === null) {
      throw new TidemarkError('not_found', `There is no restore ${restoreId}.`, { object: restoreId });
    }
    const token = restore.fencingToken + 1;
    const status = restore.status as RestoreStatus;
    const active = isActive(status);
    await tx.restore.update({
      where: { id: restoreId },
      data: {
        fencingToken: token,
        ...(active ? { status: 'in_progress', startedAt: restore.startedAt ?? new Date() } : {}),
      },
    });
    return active ? { state: 'active', token } : { state: 'settled', status, code: recordedCode(restore.error) };
  });
}

/** Raises the token of a settled restore, whose former content is put back or dropped. */
export async function raiseTokenForAftermath(catalog: Catalog, restoreId: string): Promise<number> {
  const row = await catalog.prisma.restore.update({
    where: { id: restoreId },
    data: { fencingToken: { increment: 1 } },
    select: { fencingToken: true },
  });
  return row.fencingToken;
}

export async function assertHoldsRestoreToken(catalog: Catalog, restoreId: string, token: number): Promise<void> {
  const row = await catalog.prisma.restore.findUnique({ where: { id: restoreId }, select: { fencingToken: true } });
  if (row?.fencingToken !== token) {
    throw new TidemarkError('fenced', `A newer attempt of ${restoreId} has taken over; this one stops.`, {
      object: restoreId,
    });
  }
}

export type RestoreProgress = { readonly phase: string; readonly bytes: number; readonly percent: number | null };

/** Facts that a step found out; only the holder of the token may write them. False when it is fenced. */
export async function writeRestoreFacts(
  catalog: Catalog,
  restoreId: string,
  token: number,
  facts: {
    progress?: RestoreProgress;
    way?: 'staged' | 'direct';
    stagingName?: string;
    comparison?: { equal: boolean; tables: number | null; rows: string | null; differences: readonly unknown[] };
    proof?: ProofLevel;
    /** Where recovery begins, decided at last. */
    backupId?: string;
    recovery?: RecoveryPlan;
    lastApplied?: StopPoint | null;
    firstRefused?: StopPoint | null;
  },
): Promise<boolean> {
  const { progress, comparison, recovery, lastApplied, firstRefused, ...plain } = facts;
  const json = Object.entries({ progress, comparison, recovery, lastApplied, firstRefused })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, value === null ? noJson : toJson(value)] as const);
  const { count } = await catalog.prisma.restore.updateMany({
    where: { id: restoreId, fencingToken: token, status: 'in_progress' },
    data: {
      ...plain,
      ...Object.fromEntries(json),
    },
  });
  return count === 1;
}

/** The backup has been put back and found equal: the highest proof there is, and when; it is not damaged. A lower one never replaces it. */
export async function recordBackupProof(catalog: Catalog, backupId: string, proof: ProofLevel): Promise<void> {
  const notHigher = proofLevels.slice(0, proofLevels.indexOf(proof) + 1);
  await catalog.prisma.backup.updateMany({
    where: { id: backupId, OR: [{ proof: null }, { proof: { in: notHigher } }] },
    data: { proof, verifiedAt: new Date() },
  });
  await catalog.prisma.backup.updateMany({ where: { id: backupId }, data: { damage: noJson } });
}

/** The staging database is gone from the server. */
export async function forgetStaging(catalog: Catalog, restoreId: string): Promise<void> {
  await catalog.prisma.restore.update({ where: { id: restoreId }, data: { stagingName: null } });
  await dropOneShotSecret(catalog, restoreId);
}

type Outcome = {
  readonly status: 'completed' | 'failed' | 'cancelled';
  readonly error: { readonly code: string; readonly message: string } | null;
};

/**
 * A worker that dies with a cancel on its way never answers it, and the step ends as lost: the user asked for an end and got one, so the
 * row says cancelled. Not while a swap is half done: then somebody has to look, and only a failure says so.
 */
async function preferCancel(
  queries: CatalogQueries,
  restore: { id: string; cancelRequestedAt: Date | null },
  outcome: Outcome,
): Promise<Outcome> {
  if (outcome.error?.code !== 'worker_lost' || restore.cancelRequestedAt === null) return outcome;
  if ((await queries.swapJournal.count({ where: { restoreId: restore.id, state: 'open' } })) > 0) return outcome;
  return { status: 'cancelled', error: { code: 'cancelled', message: 'The restore was cancelled.' } };
}

/** Settles a restore; does nothing when it is settled. Returns the status that then stands. */
export async function settleRestore(
  catalog: Catalog,
  restoreId: string,
  wanted: Outcome['status'],
  reason: Outcome['error'],
): Promise<{ status: RestoreStatus; code: ErrorCode | null }> {
  const row = await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Restore" where id = ${restoreId} for update`;
    const restore = await tx.restore.findUnique({ where: { id: restoreId } });
    if (restore === null) {
      throw new TidemarkError('not_found', `There is no restore ${restoreId}.`, { object: restoreId });
    }
    if (!isActive(restore.status as RestoreStatus)) return restore;
    const { status, error } = await preferCancel(tx, restore, { status: wanted, error: reason });
    const now = new Date();
    const done = status === 'completed';
    const progress = restore.progress as { bytes?: number } | null;
    return await tx.restore.update({
      where: { id: restoreId },
      data: {
        status,
        activeKey: null,
        completedAt: now,
        error: error === null ? noJson : toJson(error),
        // Raised once more: a try that was only believed dead writes nothing to a settled row.
        fencingToken: { increment: 1 },
        ...(done
          ? {
              progress: toJson({ phase: 'completed', bytes: progress?.bytes ?? 0, percent: 100 }),
              previousUntil:
                restore.previousName === null ? null : new Date(now.getTime() + restore.keepPreviousHours * 3_600_000),
            }
          : {}),
      },
    });
  });
  await dropOneShotSecret(catalog, restoreId);
  return { status: row.status as RestoreStatus, code: recordedCode(row.error) };
}

/** The outcome of putting the former content back; the target is free for other runs again. */
export async function settleRevert(
  catalog: Catalog,
  restoreId: string,
  error: { code: string; message: string } | null,
): Promise<void> {
  const now = new Date();
  const restore = await catalog.prisma.restore.findUnique({ where: { id: restoreId } });
  if (restore === null) return;
  await catalog.prisma.restore.update({
    where: { id: restoreId },
    data:
      error === null
        ? {
            revertedAt: restore.revertedAt ?? now,
            // The request claimed the target with it.
            activeKey: null,
            revertError: noJson,
            previousUntil: new Date(now.getTime() + restore.keepPreviousHours * 3_600_000),
          }
        : { activeKey: null, revertError: toJson(error) },
  });
}

/** The kept content is gone from the server, and with it the last need for a one-shot secret. */
export async function markPreviousDropped(catalog: Catalog, restoreId: string): Promise<void> {
  await catalog.prisma.restore.update({ where: { id: restoreId }, data: { previousDroppedAt: new Date() } });
  await dropOneShotSecret(catalog, restoreId);
}

/**
 * A secret given with one restore dies with it, but not before the last thing that needs it: while a former content is kept it must be
 * possible to revert and to drop, and a staging database that could not be dropped is tried again.
 */
async function dropOneShotSecret(catalog: Catalog, restoreId: string): Promise<void> {
  const restore = await catalog.prisma.restore.findUnique({ where: { id: restoreId } });
  if (restore === null || isActive(restore.status as RestoreStatus)) return;
  const needed = restore.stagingName !== null || (restore.previousName !== null && restore.previousDroppedAt === null);
  if (!needed) await catalog.prisma.secret.deleteMany({ where: { restoreId } });
}
