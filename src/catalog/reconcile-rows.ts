import type { RecordedError } from '../domain/errors.js';
import { findExistingChains } from './chains.js';
import type { CatalogQueries } from './client.js';
import { Prisma } from './generated/client.js';

/** What the reconcile loop reads and settles. It never deletes a row and never touches anything stored. */

const active = { in: ['pending', 'in_progress'] };
const labels = { database: { select: { name: true } }, plan: { select: { name: true } } } as const;

export async function findActiveBackups(queries: CatalogQueries) {
  return await queries.backup.findMany({
    where: { status: active },
    include: { ...labels, chain: { include: { policy: true, server: true } } },
    orderBy: { createdAt: 'asc' },
  });
}

export async function findActiveRestores(queries: CatalogQueries) {
  return await queries.restore.findMany({
    where: { status: active },
    include: { database: labels.database, backup: { include: { plan: labels.plan } } },
    orderBy: { createdAt: 'asc' },
  });
}

/** Completed restores whose revert was asked for and has not been settled. */
export async function findActiveReverts(queries: CatalogQueries) {
  return await queries.restore.findMany({
    where: { status: 'completed', activeKey: { not: null } },
    include: { database: labels.database, backup: { include: { plan: labels.plan } } },
    orderBy: { createdAt: 'asc' },
  });
}

/**
 * Deletions asked for before `since` that nobody has reported on. A completed backup that the destination refused to delete has a
 * `deleteError` and is housekeeping's; a younger one may be under way inside the run whose retention asked for it.
 */
export async function findUnfinishedDeletions(queries: CatalogQueries, since: Date) {
  return await queries.backup.findMany({
    where: {
      deleteRequestedAt: { lt: since },
      deletedAt: null,
      OR: [{ deleteError: { equals: Prisma.DbNull } }, { status: { not: 'completed' } }],
    },
    select: { id: true },
    orderBy: { deleteRequestedAt: 'asc' },
    take: 200,
  });
}

/** Which of these ids have a row, whatever they name; the entities of a chain are named `<policyId>/<serverId>`. */
export async function findExistingRuns(queries: CatalogQueries, ids: readonly string[]): Promise<Set<string>> {
  const found = { where: { id: { in: ids.filter((id) => !id.includes('/')) } }, select: { id: true } };
  const rows = await Promise.all([
    queries.backup.findMany(found),
    queries.restore.findMany(found),
    queries.attachment.findMany(found),
    queries.notification.findMany(found),
    queries.sourceCleanup.findMany(found),
  ]);
  const chains = await findExistingChains(
    queries,
    ids.filter((id) => id.includes('/')),
  );
  return new Set([...rows.flat().map((row) => row.id), ...chains]);
}

export type Settlement = { status: 'failed' | 'cancelled'; error: RecordedError };

/**
 * Settles a row whose workflow is gone, unless somebody settled it or began another attempt meanwhile. The fencing token rises, so
 * that an attempt that still lives somewhere cannot publish afterwards.
 */
export async function settleLostBackup(
  queries: CatalogQueries,
  row: { id: string; fencingToken: number },
  to: Settlement,
): Promise<boolean> {
  const { count } = await queries.backup.updateMany({
    where: { id: row.id, status: active, fencingToken: row.fencingToken },
    data: { ...to, activeKey: null, completedAt: new Date(), fencingToken: { increment: 1 } },
  });
  return count === 1;
}

/** As `settleLostBackup`; only for restores that have not touched their target server. */
export async function settleLostRestore(
  queries: CatalogQueries,
  row: { id: string; fencingToken: number },
  to: Settlement,
): Promise<boolean> {
  const { count } = await queries.restore.updateMany({
    where: { id: row.id, status: 'pending', fencingToken: row.fencingToken },
    data: { ...to, activeKey: null, completedAt: new Date(), fencingToken: { increment: 1 } },
  });
  return count === 1;
}

/** Frees the target of a revert that has its result. */
export async function releaseRevert(queries: CatalogQueries, id: string): Promise<void> {
  await queries.restore.updateMany({
    where: { id, status: 'completed', activeKey: { not: null } },
    data: { activeKey: null },
  });
}

/** One pass at a time over all API processes: held until the surrounding transaction ends, also when the process dies. */
export async function tryReconcileLock(queries: CatalogQueries): Promise<boolean> {
  const rows = await queries.$queryRaw<{ locked: boolean }[]>`SELECT pg_try_advisory_xact_lock(7433, 1) AS locked`;
  return rows[0]?.locked === true;
}
