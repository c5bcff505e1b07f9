import { recordAudit } from '../catalog/audit-events.js';
import { claimRevert } from '../catalog/restores.js';
import { isUniqueViolation } from '../catalog/unique-violation.js';
import { TidemarkError } from '../domain/errors.js';
import type { RestoreResource } from '../domain/schemas/restores.js';
import { restoreTargetSchema } from '../domain/schemas/restores.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireRestore } from './get-restore.js';
import { presentRestore } from './present/present-restore.js';
import { targetBusy } from './request-restore.js';
import { startOrLeave, startRevertRun } from './runs/start-run.js';
import { placeKey } from './shared/restore-target.js';

/**
 * Puts the former content of a target back; what the restore had put there is kept aside. Throws `previous_gone` when nothing was
 * kept or it was dropped or put back already, `run_in_progress` while another run holds the target.
 */
export async function revertRestore(
  context: UsecaseContext,
  principal: Principal,
  input: { restoreId: string },
): Promise<RestoreResource> {
  const before = await requireRestore(context, principal, input.restoreId);
  const activeKey = placeKey(restoreTargetSchema.parse(before.target));
  if (before.status === 'completed' && before.activeKey !== null) throw await targetBusy(context, activeKey);
  try {
    await context.catalog.prisma.$transaction(async (tx) => {
      if (!(await claimRevert(tx, before.id, activeKey))) {
        throw new TidemarkError('previous_gone', `${whyNot(before)} There is nothing to put back.`, {
          object: before.id,
        });
      }
      await recordAudit(tx, principal, 'restore.revert_requested', before.id, { previousName: before.previousName });
    });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw await targetBusy(context, activeKey);
  }
  await startOrLeave(context, before.id, () =>
    startRevertRun(context, {
      id: before.id,
      databaseId: before.databaseId,
      planId: before.planId,
      targetName: before.targetName,
      policyId: before.policyId,
      labels: { databaseName: before.database.name, planName: before.backup.plan?.name ?? null },
    }),
  );
  return presentRestore(await requireRestore(context, principal, before.id));
}

function whyNot(row: Awaited<ReturnType<typeof requireRestore>>): string {
  if (row.status !== 'completed') return `The restore ${row.id} is ${row.status}.`;
  if (row.revertedAt !== null) return `The restore ${row.id} was reverted already.`;
  if (row.previousName === null) return `The restore ${row.id} replaced nothing.`;
  return `The time for which the former content of ${row.targetName} was kept is over.`;
}
