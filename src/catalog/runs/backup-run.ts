import type { ErrorCode } from '../../domain/errors.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { BackupKind, BackupStatus } from '../../domain/statuses.js';
import { isActive } from '../../domain/statuses.js';
import type { Catalog } from '../client.js';
import { noJson, toJson } from './run-json.js';

/** Everything an activity needs to know of a backup; sealed secrets are opened by the caller. */
export async function readBackupRun(catalog: Catalog, backupId: string) {
  const backup = await catalog.prisma.backup.findUnique({
    where: { id: backupId },
    include: { database: { include: { server: true } }, destination: true, plan: true, key: true },
  });
  if (backup === null) throw new TidemarkError('not_found', `There is no backup ${backupId}.`, { object: backupId });
  return backup;
}
export type BackupRun = Awaited<ReturnType<typeof readBackupRun>>;

export type BegunAttempt =
  | {
      readonly state: 'begun';
      readonly attemptId: string;
      readonly number: number;
      readonly token: number;
      readonly planId: string | null;
      readonly kind: BackupKind;
    }
  | { readonly state: 'settled'; readonly status: BackupStatus; readonly code: ErrorCode | null };

/** Opens the next attempt: raises the fencing token, so that every earlier attempt is refused from now on. */
export async function beginAttempt(catalog: Catalog, backupId: string): Promise<BegunAttempt> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Backup" where id = ${backupId} for update`;
    const backup = await tx.backup.findUnique({ where: { id: backupId } });
    if (backup === null) throw new TidemarkError('not_found', `There is no backup ${backupId}.`, { object: backupId });
    const status = backup.status as BackupStatus;
    if (!isActive(status)) return { state: 'settled', status, code: recordedCode(backup.error) };
    if (backup.cancelRequestedAt !== null) throw new TidemarkError('cancelled', 'The backup was cancelled.');
    const token = backup.fencingToken + 1;
    const number = (await tx.attempt.count({ where: { backupId } })) + 1;
    const attemptId = newId('attempt');
    await tx.attempt.create({ data: { id: attemptId, backupId, number, fencingToken: token } });
    await tx.backup.update({
      where: { id: backupId },
      data: { status: 'in_progress', fencingToken: token, startedAt: backup.startedAt ?? new Date() },
    });
    return { state: 'begun', attemptId, number, token, planId: backup.planId, kind: backup.kind as BackupKind };
  });
}

/** Notes how an attempt ended. A lost one cannot do it itself. */
export async function endAttempt(
  catalog: Catalog,
  attemptId: string,
  error: { code: string; message: string },
): Promise<void> {
  await catalog.prisma.attempt.updateMany({
    where: { id: attemptId, endedAt: null },
    data: { endedAt: new Date(), error: toJson(error) },
  });
}

/** Throws `fenced` unless `token` is still the newest and the run is not settled. Asked right before something is published. */
export async function assertHoldsToken(catalog: Catalog, backupId: string, token: number): Promise<void> {
  const row = await catalog.prisma.backup.findUnique({
    where: { id: backupId },
    select: { fencingToken: true, status: true },
  });
  if (row?.fencingToken !== token || row.status !== 'in_progress') throw fenced(backupId);
}

export type BackupProgress = { readonly phase: string; readonly bytes: number; readonly percent: number | null };

/** False when the attempt is fenced: its progress is nobody's any more. */
export async function writeBackupProgress(
  catalog: Catalog,
  backupId: string,
  token: number,
  progress: BackupProgress,
): Promise<boolean> {
  const { count } = await catalog.prisma.backup.updateMany({
    where: { id: backupId, fencingToken: token, status: 'in_progress' },
    data: { progress: toJson(progress) },
  });
  return count === 1;
}

export type PublishedBackup = {
  readonly attemptId: string;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly position: unknown;
  readonly serverVersion: string;
  readonly content: { tables: number; rows: string; databaseBytes?: number } | null;
  readonly databases: readonly string[] | null;
  readonly fingerprintUnavailable: string | null;
  readonly manifestKey: string;
  readonly takenAt: Date;
  /** Only of fulls and incrementals. */
  readonly chain: {
    readonly parentId: string | null;
    readonly startPosition: unknown;
    readonly epoch: number | null;
  } | null;
};

/**
 * The last step of a backup: completed, under the token, in one transaction. Throws `fenced` when a newer attempt has begun or the row is
 * settled. `from` is `failed` only for a backup that was found complete after its run had been settled.
 */
export async function completeBackup(
  catalog: Catalog,
  backupId: string,
  token: number,
  published: PublishedBackup,
  from: 'in_progress' | 'failed' = 'in_progress',
): Promise<void> {
  await catalog.prisma.$transaction(async (tx) => {
    const now = new Date();
    const { count } = await tx.backup.updateMany({
      where: { id: backupId, fencingToken: token, status: from, deleteRequestedAt: null },
      data: {
        status: 'completed',
        activeKey: null,
        completedAt: now,
        bytes: BigInt(published.bytes),
        storedBytes: BigInt(published.storedBytes),
        position: toJson(published.position),
        serverVersion: published.serverVersion,
        content: published.content === null ? noJson : toJson(published.content),
        databases: published.databases === null ? noJson : toJson(published.databases),
        fingerprintUnavailable: published.fingerprintUnavailable,
        manifestKey: published.manifestKey,
        takenAt: published.takenAt,
        ...(published.chain === null
          ? {}
          : { ...published.chain, startPosition: toJson(published.chain.startPosition) }),
        progress: toJson({ phase: 'completed', bytes: published.bytes, percent: 100 }),
        error: noJson,
      },
    });
    if (count !== 1) throw fenced(backupId);
    // An adopted manifest names an earlier attempt than the one that holds the token.
    await tx.attempt.updateMany({
      where: { backupId, id: published.attemptId },
      data: { published: true, endedAt: now, error: noJson },
    });
    await tx.attempt.updateMany({ where: { backupId, endedAt: null }, data: { endedAt: now } });
  });
}

/** Raises the token without beginning an attempt: what still runs is fenced. Returns the row as it then stands. */
export async function fenceBackup(
  catalog: Catalog,
  backupId: string,
): Promise<{ status: BackupStatus; code: ErrorCode | null; token: number }> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Backup" where id = ${backupId} for update`;
    const backup = await tx.backup.findUnique({ where: { id: backupId } });
    if (backup === null) throw new TidemarkError('not_found', `There is no backup ${backupId}.`, { object: backupId });
    const status = backup.status as BackupStatus;
    if (!isActive(status)) return { status, code: recordedCode(backup.error), token: backup.fencingToken };
    const token = backup.fencingToken + 1;
    await tx.backup.update({
      where: { id: backupId },
      // A run whose first step never came about can have been published all the same, by the workflow before a loss of Temporal's data.
      data: { fencingToken: token, status: 'in_progress' },
    });
    return { status: 'in_progress', code: null, token };
  });
}

/** Settles a run that published nothing. Does nothing when it is settled already. */
export async function settleBackup(
  catalog: Catalog,
  backupId: string,
  status: 'failed' | 'cancelled',
  error: { code: string; message: string },
): Promise<void> {
  await catalog.prisma.$transaction(async (tx) => {
    const now = new Date();
    const { count } = await tx.backup.updateMany({
      where: { id: backupId, status: { in: ['pending', 'in_progress'] } },
      data: { status, activeKey: null, completedAt: now, error: toJson(error) },
    });
    if (count === 1) {
      await tx.attempt.updateMany({
        where: { backupId, endedAt: null },
        data: { endedAt: now, error: toJson(error) },
      });
    }
  });
}

export function recordedCode(error: unknown): ErrorCode | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? (error.code as ErrorCode) : null;
}

function fenced(backupId: string): TidemarkError {
  return new TidemarkError('fenced', `A newer attempt of ${backupId} has taken over; this one publishes nothing.`, {
    object: backupId,
  });
}
