import { recordAudit } from '../catalog/audit-events.js';
import { findBackup, lockBackup } from '../catalog/backups.js';
import { lockDatabase } from '../catalog/databases.js';
import type { RestoreRow } from '../catalog/restores.js';
import { findRestoreHolding, insertRestore } from '../catalog/restores.js';
import { insertSecret } from '../catalog/secrets.js';
import { isUniqueViolation } from '../catalog/unique-violation.js';
import { TidemarkError } from '../domain/errors.js';
import { newId } from '../domain/ids.js';
import type { CreateRestore, RestoreResource } from '../domain/schemas/restores.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentRestore } from './present/present-restore.js';
import { startOrLeave, startRestoreRun } from './runs/start-run.js';
import { assertRestorable } from './shared/assert-restorable.js';
import { notFound } from './shared/refusals.js';
import type { ResolvedSource } from './shared/restore-source.js';
import { resolveSource } from './shared/restore-source.js';
import type { ResolvedTarget } from './shared/restore-target.js';
import { mayTouchOriginals, placeKey, resolveTarget } from './shared/restore-target.js';

/**
 * Puts a completed backup, or a database as it was at a point in time, into a target. The row comes first, with the password of a connection in the request sealed as a one-shot
 * secret; conflicts on the target itself are found by the workflow, before it writes anything.
 */
export async function requestRestore(
  context: UsecaseContext,
  principal: Principal,
  input: CreateRestore,
): Promise<RestoreResource> {
  const source = await resolveSource(context, principal, input.source);
  const resolved = await resolveTarget(context, principal, source, input);
  const activeKey = placeKey(resolved.target);
  let row: RestoreRow;
  try {
    row = await insertRow(context, principal, { input, source, resolved, activeKey });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw await targetBusy(context, activeKey);
  }
  await startOrLeave(context, row.id, () =>
    startRestoreRun(context, {
      id: row.id,
      databaseId: row.databaseId,
      planId: row.planId,
      targetName: row.targetName,
      policyId: row.policyId,
      labels: { databaseName: row.database.name, planName: row.backup.plan?.name ?? null },
    }),
  );
  return presentRestore(row);
}

type Insert = { input: CreateRestore; source: ResolvedSource; resolved: ResolvedTarget; activeKey: string };

async function insertRow(
  context: UsecaseContext,
  principal: Principal,
  { input, source, resolved, activeKey }: Insert,
): Promise<RestoreRow> {
  const { target, tls, secret } = resolved;
  const backupId = source.backup.id;
  const id = newId('restore');
  return await context.catalog.prisma.$transaction(async (tx) => {
    // The row refers to both, for which the catalog locks them anyway: in another order, two requests at once would wait for each other.
    const databases = new Set([source.database.id, ...(target.databaseId === null ? [] : [target.databaseId])]);
    for (const databaseId of [...databases].sort()) await lockDatabase(tx, databaseId);
    await lockBackup(tx, backupId);
    // Who may restore was decided with the source; what is asked again is whether the backup is still there.
    const backup = await findBackup(tx, { userId: principal.userId, role: 'admin' }, backupId);
    if (backup === null) throw notFound('backup', backupId);
    assertRestorable(backup);
    if (secret.sealed !== null) {
      await insertSecret(tx, { id: secret.id, sealed: secret.sealed, purpose: 'target', restoreId: id });
    }
    const row = await insertRestore(tx, {
      id,
      source: input.source,
      target,
      backupId,
      databaseId: source.database.id,
      planId: backup.planId,
      policyId: backup.policyId,
      targetDatabaseId: target.databaseId,
      targetHost: target.host,
      targetPort: target.port,
      targetUsername: target.username,
      targetSecretId: secret.id,
      targetTls: tls,
      targetName: target.database,
      overwrite: input.overwrite,
      mayReplaceOriginal: input.confirmOverwrite && mayTouchOriginals(context, principal),
      keepPreviousHours: input.keepPreviousHours,
      triggeredBy: principal.userId,
      activeKey,
    });
    await recordAudit(tx, principal, 'restore.requested', id, {
      source: input.source,
      backupId,
      target,
      overwrite: input.overwrite,
    });
    return row;
  });
}

/** Names the run that holds a target. */
export async function targetBusy(context: UsecaseContext, activeKey: string): Promise<TidemarkError> {
  const holder = await findRestoreHolding(context.catalog.prisma, activeKey);
  return new TidemarkError(
    'run_in_progress',
    holder === null
      ? `Another restore into ${activeKey} was under way and has just ended; send the request again.`
      : `Restore ${holder.id} into ${activeKey} is pending or in progress.`,
    { object: activeKey, references: holder === null ? [] : [holder.id] },
  );
}
