import { recordAudit } from '../audit-events.js';
import type { Catalog } from '../client.js';

export type LateBackup = {
  readonly id: string;
  readonly databaseId: string;
  readonly serverId: string | null;
  readonly status: 'failed' | 'cancelled';
  readonly fencingToken: number;
  readonly deleteRequestedAt: Date | null;
};

/** Which of these backups of a destination were settled before `settledBefore` as having produced nothing. */
export async function findLateBackups(
  catalog: Catalog,
  destinationId: string,
  backupIds: readonly string[],
  settledBefore: Date,
): Promise<LateBackup[]> {
  const rows = await catalog.prisma.backup.findMany({
    where: {
      id: { in: [...backupIds] },
      destinationId,
      status: { in: ['failed', 'cancelled'] },
      completedAt: { lt: settledBefore },
    },
    select: { id: true, databaseId: true, serverId: true, status: true, fencingToken: true, deleteRequestedAt: true },
  });
  return rows.map((row) => ({ ...row, status: row.status as LateBackup['status'] }));
}

/**
 * Asked before a manifest of a settled run is removed: true when the row still says that the run produced nothing. The token rises, so
 * that whoever is about to adopt that manifest is refused.
 */
export async function claimLateRemoval(catalog: Catalog, backupId: string): Promise<boolean> {
  const { count } = await catalog.prisma.backup.updateMany({
    where: { id: backupId, status: { in: ['failed', 'cancelled'] } },
    data: { fencingToken: { increment: 1 } },
  });
  return count === 1;
}

/** A change that nobody asked for is found in the audit trail, with its reason. */
export async function recordLateBackup(
  catalog: Catalog,
  backupId: string,
  action: 'backup.late_adopted' | 'backup.late_removed',
  reason: string,
): Promise<void> {
  await recordAudit(catalog.prisma, null, action, backupId, { reason });
}
