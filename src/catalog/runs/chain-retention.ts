import type { RetentionDecision, RetentionInput, RetentionPins } from '../../domain/chain-retention.js';
import { readPolicyRetention } from '../../domain/schemas/policies.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { readPlanInput } from './recovery-window.js';

/** What the retention of a chain decides on, and what it notes. */

const active = ['pending', 'in_progress'];

/** `held`: nothing may be decided now, and why. */
export type RetentionState =
  | { readonly state: 'ready'; readonly input: RetentionInput }
  | { readonly state: 'held'; readonly because: string };

/** Everything that a decision needs, as it stands now. */
export async function readRetention(catalog: Catalog, chainId: string, now: Date): Promise<RetentionState> {
  const chain = await catalog.prisma.chain.findUnique({
    where: { id: chainId },
    include: { policy: true, _count: { select: { attachments: { where: { activeKey: { not: null } } } } } },
  });
  if (chain === null || chain.policy.deletedAt !== null) return held('the policy was deleted; what is stored stays');
  if (chain._count.attachments === 0) return held('no database of the server is attached; what is stored stays');
  const reading = await catalog.prisma.backup.findFirst({ where: { chainId, status: 'in_progress' } });
  // It may need any of the log, and what it is built on is decided while it runs.
  if (reading !== null) return held(`the ${reading.kind} ${reading.id} is being taken`);
  const { undecided, ...pins } = await findPins(catalog.prisma, chainId);
  if (undecided.length > 0) return held(`the restore ${undecided[0]} has not decided yet what it reads`);
  const { backups, slices, present } = await readPlanInput(catalog, chainId);
  const { policy } = chain;
  const rules = readPolicyRetention(policy.retention);
  return { state: 'ready', input: { backups, slices, present, pitr: policy.pitr, rules, pins, now } };
}

const held = (because: string): RetentionState => ({ state: 'held', because });

type Recovery = { backupIds?: string[]; log?: { epoch: number; fromSeq: number; toSeq: number } | null };

async function findRestores(queries: CatalogQueries, chainId: string) {
  const rows = await queries.restore.findMany({
    where: { status: { in: active }, backup: { chainId } },
    select: { id: true, backupId: true, recovery: true },
  });
  return rows.map(({ id, backupId, recovery }) => {
    const { backupIds = [], log = null } = (recovery ?? {}) as Recovery;
    return { id, isDecided: recovery !== null, backupIds: [backupId, ...backupIds], log };
  });
}

/** What restores of a chain read; `undecided` have only just been asked for. */
export async function findPins(
  queries: CatalogQueries,
  chainId: string,
): Promise<RetentionPins & { readonly undecided: readonly string[] }> {
  const restores = await findRestores(queries, chainId);
  return {
    backupIds: restores.flatMap(({ backupIds }) => backupIds),
    logs: restores.flatMap(({ log }) => log ?? []),
    undecided: restores.filter(({ isDecided }) => !isDecided).map(({ id }) => id),
  };
}

/** Restores that read a backup of a chain, or may yet decide to. */
export async function findReaders(queries: CatalogQueries, chainId: string, backupId: string): Promise<string[]> {
  const restores = await findRestores(queries, chainId);
  return restores.filter((one) => !one.isDecided || one.backupIds.includes(backupId)).map(({ id }) => id);
}

/** From now on nothing plans with what goes. Its objects are removed afterwards, however often that takes. */
export async function markExpired(catalog: Catalog, chainId: string, decision: RetentionDecision): Promise<void> {
  const now = new Date();
  await catalog.prisma.backup.updateMany({
    where: { id: { in: [...decision.deleteBackups] }, chainId, status: 'completed', deleteRequestedAt: null },
    data: { deleteRequestedAt: now },
  });
  // By some thousands: a statement takes no more parameters than 32,767.
  for (let index = 0; index < decision.deleteSlices.length; index += 5_000) {
    await catalog.prisma.logSlice.updateMany({
      // One that a larger slice replaced meanwhile is that one's matter.
      where: { id: { in: decision.deleteSlices.slice(index, index + 5_000) }, supersededAt: null, deletedAt: null },
      data: { deletedAt: now },
    });
  }
}

/** Backups of a chain whose deletion was asked for, dependents before what they are built on. */
export async function findExpiredBackups(catalog: Catalog, chainId: string, limit: number): Promise<string[]> {
  const rows = await catalog.prisma.backup.findMany({
    where: { chainId, deleteRequestedAt: { not: null }, deletedAt: null },
    orderBy: [{ takenAt: 'desc' }, { id: 'desc' }],
    take: limit,
    select: { id: true },
  });
  return rows.map(({ id }) => id);
}

/** A restore that decided on slices in the moment in which they were marked keeps them. */
export async function unmarkPinned(catalog: Catalog, chainId: string, pins: RetentionPins): Promise<void> {
  for (const { epoch, fromSeq, toSeq } of pins.logs) {
    await catalog.prisma.logSlice.updateMany({
      where: { chainId, epoch, seq: { gte: fromSeq }, fromSeq: { lte: toSeq }, deletedAt: { not: null } },
      data: { deletedAt: null },
    });
  }
}

/** Slices that nothing names any more, oldest first, whose objects are still there. Their rows go with the objects. */
export async function findExpiredSlices(catalog: Catalog, chainId: string, limit: number) {
  return await catalog.prisma.logSlice.findMany({
    where: { chainId, deletedAt: { not: null } },
    orderBy: [{ epoch: 'asc' }, { fromSeq: 'asc' }],
    take: limit,
    select: { id: true, recordKey: true, objectKey: true },
  });
}

/** The backups that a decision speaks of, newest content first, as a preview shows them. */
export async function findDecidedBackups(queries: CatalogQueries, chainId: string) {
  return await queries.backup.findMany({
    where: { chainId, status: 'completed', deleteRequestedAt: null, deletedAt: null },
    orderBy: [{ takenAt: 'desc' }, { id: 'desc' }],
    select: { id: true, kind: true, takenAt: true, storedBytes: true },
  });
}
