import type { Catalog } from '../client.js';
import { noJson, toJson } from './run-json.js';

/** How many ids of a kind one run of housekeeping takes on: its history and its answer stay small, the next run takes the rest. */
const LIMIT = 200;

/** What is due. Every list is oldest first. */
export async function findHousekeeping(catalog: Catalog, now: Date = new Date()) {
  const settled = ['completed', 'failed', 'cancelled'];
  const previous = await catalog.prisma.restore.findMany({
    where: {
      status: { in: settled },
      previousName: { not: null },
      previousDroppedAt: null,
      // Held by a revert that is under way.
      activeKey: null,
      // Half way in a revert that could not be undone: what is kept may be all there is of it.
      journals: { none: { state: 'open' } },
      // Without a time only when the swap was done and its restore was settled by someone else: then the longest time counts.
      OR: [
        { previousUntil: { lte: now } },
        { previousUntil: null, completedAt: { lte: new Date(now.getTime() - 7 * 86_400_000) } },
      ],
    },
    select: { id: true },
    orderBy: { completedAt: 'asc' },
    take: LIMIT,
  });
  const staging = await catalog.prisma.restore.findMany({
    where: { status: { in: settled }, stagingName: { not: null }, journals: { none: { state: 'open' } } },
    select: { id: true },
    orderBy: { completedAt: 'asc' },
    take: LIMIT,
  });
  const deletions = await catalog.prisma.backup.findMany({
    where: { deleteRequestedAt: { not: null }, deletedAt: null },
    select: { id: true },
    orderBy: { deleteRequestedAt: 'asc' },
    take: LIMIT,
  });
  const plans = await catalog.prisma.plan.findMany({
    where: { deletedAt: null, retention: { not: noJson } },
    select: { id: true },
    orderBy: { id: 'asc' },
    take: LIMIT,
  });
  const destinations = await catalog.prisma.destination.findMany({
    where: { deletedAt: null, enabled: true },
    select: { id: true },
    orderBy: { id: 'asc' },
    take: LIMIT,
  });
  const ids = (rows: readonly { id: string }[]) => rows.map((row) => row.id);
  return {
    previousOfRestores: ids(previous),
    stagingOfRestores: ids(staging),
    deletions: ids(deletions),
    plans: ids(plans),
    destinations: ids(destinations),
  };
}

/** Forgets what has run out. A one-shot secret whose restore is gone altogether goes too. */
export async function expireRows(catalog: Catalog, now: Date = new Date()) {
  const { count: idempotencyKeys } = await catalog.prisma.idempotencyKey.deleteMany({
    where: { expiresAt: { lt: now } },
  });
  const { count: sessions } = await catalog.prisma.session.deleteMany({ where: { expiresAt: { lt: now } } });
  const orphans = await catalog.prisma.$executeRaw`
    delete from "Secret" s where s."restoreId" is not null and s."createdAt" < ${new Date(now.getTime() - 86_400_000)}
      and not exists (select 1 from "Restore" r where r.id = s."restoreId")`;
  return { idempotencyKeys, sessions, secrets: orphans };
}

/** The objects of a backup are gone from its destination. */
export async function markDeleted(catalog: Catalog, backupId: string): Promise<void> {
  await catalog.prisma.backup.updateMany({
    where: { id: backupId, deletedAt: null },
    data: { deletedAt: new Date(), deleteError: noJson },
  });
}

/** Why a deletion did not come about; it stays requested and is tried again. */
export async function noteDeletionRefused(
  catalog: Catalog,
  backupId: string,
  error: { code: string; message: string },
): Promise<void> {
  await catalog.prisma.backup.updateMany({
    where: { id: backupId, deletedAt: null },
    data: { deleteError: toJson(error) },
  });
}

/** Attempts that may still be writing, wherever: two destinations can be one bucket. A sweep leaves them alone whatever their age. */
export async function findLiveAttempts(catalog: Catalog): Promise<Set<string>> {
  const rows = await catalog.prisma.attempt.findMany({
    where: { endedAt: null, backup: { status: { in: ['pending', 'in_progress'] } } },
    select: { id: true },
  });
  return new Set(rows.map((row) => row.id));
}

/** Which of these backups the catalog does not know: they are reported for import, never deleted. */
export async function findUnknownBackups(catalog: Catalog, backupIds: readonly string[]): Promise<string[]> {
  const rows = await catalog.prisma.backup.findMany({
    where: { id: { in: [...backupIds] } },
    select: { id: true },
  });
  const known = new Set(rows.map((row) => row.id));
  return backupIds.filter((id) => !known.has(id));
}
