import { recordAudit } from '../catalog/audit-events.js';
import type { BackupRow } from '../catalog/backups.js';
import { findActiveRun, insertBackup } from '../catalog/backups.js';
import { findPlan, lockPlan } from '../catalog/plans.js';
import { isUniqueViolation } from '../catalog/unique-violation.js';
import { TidemarkError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import type { BackupResource, CreateBackup } from '../domain/schemas/backups.js';
import type { Principal, UsecaseContext } from './context.js';
import { requirePlan } from './get-plan.js';
import { presentBackup } from './present/present-backup.js';
import { requestChainBackup } from './request-chain-backup.js';
import { startBackupRun, startOrLeave } from './runs/start-run.js';
import { notFound } from './shared/refusals.js';

/**
 * Takes a backup of a plan now, also of a paused one, or of the server of an attached database. The row comes first; when Temporal does
 * not take the start, the reconcile loop repeats it. Throws `run_in_progress` naming the run that holds the database, `destination_disabled`.
 */
export async function requestBackup(
  context: UsecaseContext,
  principal: Principal,
  input: CreateBackup,
): Promise<BackupResource> {
  if ('databaseId' in input) return await requestChainBackup(context, principal, input);
  const plan = await requirePlan(context, principal, input.planId);
  let row: BackupRow;
  try {
    row = await insertRow(context, principal, input);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw await busy(context, plan.databaseId);
  }
  await startOrLeave(context, row.id, () =>
    startBackupRun(context, {
      id: row.id,
      kind: row.kind,
      databaseId: row.databaseId,
      planId: row.planId,
      trigger: 'manual',
      labels: { databaseName: row.database.name, planName: row.plan?.name ?? null },
    }),
  );
  return presentBackup(row);
}

async function insertRow(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string; label?: string | undefined },
): Promise<BackupRow> {
  return await context.catalog.prisma.$transaction(async (tx) => {
    await lockPlan(tx, input.planId);
    const plan = await findPlan(tx, principal, input.planId);
    if (plan === null) throw notFound('plan', input.planId);
    if (!plan.destination.enabled) {
      throw new TidemarkError(
        'destination_disabled',
        `The destination ${plan.destination.name} (${plan.destinationId}) of plan ${plan.name} is disabled.`,
        { object: plan.destinationId },
      );
    }
    const row = await insertBackup(tx, {
      id: newId('backup'),
      kind: 'dump',
      label: input.label ?? null,
      databaseId: plan.databaseId,
      planId: plan.id,
      destinationId: plan.destinationId,
      keyId: plan.encryption ? plan.keyId : null,
      trigger: 'manual',
      requestedBy: principal.userId,
    });
    await recordAudit(tx, principal, 'backup.requested', row.id, { planId: plan.id, databaseId: plan.databaseId });
    return row;
  });
}

async function busy(context: UsecaseContext, databaseId: string): Promise<TidemarkError> {
  const run = await findActiveRun(context.catalog.prisma, databaseId);
  return new TidemarkError(
    'run_in_progress',
    run === null
      ? `Another backup of ${databaseId} was under way and has just ended; send the request again.`
      : `Backup ${run.id} of ${databaseId} is pending or in progress.`,
    { object: databaseId, references: run === null ? [] : [run.id] },
  );
}
