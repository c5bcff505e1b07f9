import type { Catalog, CatalogQueries } from '../client.js';
import { claimChainRun } from './claim-chain.js';

/** What a restore into a database that a policy protects does to its chain. */

type Target = {
  readonly targetDatabaseId: string | null;
  readonly targetHost: string;
  readonly targetPort: number;
  readonly targetName: string;
};

/** Attachments of the database that a restore puts its content into, by whatever address it was asked for. */
async function findProtected(queries: CatalogQueries, target: Target) {
  const { targetDatabaseId, targetHost: host, targetPort: port, targetName } = target;
  const named =
    targetDatabaseId === null
      ? null
      : await queries.database.findUnique({ where: { id: targetDatabaseId }, select: { serverId: true } });
  const serverId = named?.serverId ?? null;
  return await queries.attachment.findMany({
    where: {
      activeKey: { not: null },
      chainId: { not: null },
      status: 'active',
      database: { database: targetName, OR: [{ host, port }, ...(serverId === null ? [] : [{ serverId }])] },
    },
    select: { chainId: true, databaseId: true, policy: { select: { status: true } } },
  });
}

/**
 * Another content stands in a protected database from `at` on: a full is asked for, so that later points need no log of before. The chain's
 * entity hears of it by the reconcile loop. Safe to repeat: the same time gives the same full. A paused policy takes none; what was
 * stored before stays restorable either way.
 */
export async function claimFullAfterRestore(catalog: Catalog, target: Target, at: Date): Promise<void> {
  for (const { chainId, databaseId, policy } of await findProtected(catalog.prisma, target)) {
    if (chainId === null || policy.status === 'paused') continue;
    await claimChainRun(catalog, {
      chainId,
      databaseId,
      kind: 'full',
      trigger: 'schedule',
      scheduledFor: at,
      anew: true,
    });
  }
}

/** A swap takes seconds. One that is stuck must not keep a whole server without backups. */
const LONGEST_SWAP_MS = 10 * 60_000;

/** Whether the content of a database of a chain is being exchanged just now: nothing of the chain begins meanwhile. */
export async function isSwapping(queries: CatalogQueries, chainId: string, now = Date.now()): Promise<boolean> {
  const open = await queries.swapJournal.findMany({
    where: { state: 'open', createdAt: { gt: new Date(now - LONGEST_SWAP_MS) } },
    select: { restore: { select: { targetDatabaseId: true, targetHost: true, targetPort: true, targetName: true } } },
  });
  for (const { restore } of open) {
    const found = await findProtected(queries, restore);
    if (found.some((one) => one.chainId === chainId)) return true;
  }
  return false;
}
