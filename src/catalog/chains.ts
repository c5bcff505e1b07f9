import type { CatalogQueries } from './client.js';
import type { Prisma } from './generated/client.js';

const active = ['pending', 'in_progress'];

const include = {
  policy: true,
  server: true,
  attachments: {
    where: { activeKey: { not: null } },
    include: { database: true },
    orderBy: { createdAt: 'asc' },
  },
} as const satisfies Prisma.ChainInclude;
export type ChainRow = Prisma.ChainGetPayload<{ include: typeof include }>;

export async function findChain(queries: CatalogQueries, id: string): Promise<ChainRow | null> {
  return await queries.chain.findUnique({ where: { id }, include });
}

/**
 * Chains that something has to happen for: those with attached databases, with a run that has no result, or with a receiver that runs
 * or has to be released.
 */
export async function findLiveChains(queries: CatalogQueries): Promise<ChainRow[]> {
  return await queries.chain.findMany({
    where: {
      OR: [
        { attachments: { some: { activeKey: { not: null } } } },
        { backups: { some: { status: { in: active } } } },
        { archiveWanted: true },
        { archiveStatus: { in: ['starting', 'following', 'error'] } },
      ],
    },
    include,
    orderBy: { createdAt: 'asc' },
  });
}

/** Chains of a policy with their servers. */
export async function findChainsOfPolicy(queries: CatalogQueries, policyId: string): Promise<ChainRow[]> {
  return await queries.chain.findMany({ where: { policyId }, include });
}

/** Does not touch what is stored: the receiver of each chain ends and the source is released. */
export async function stopArchivesOfPolicy(queries: CatalogQueries, policyId: string): Promise<void> {
  await queries.chain.updateMany({ where: { policyId }, data: { archiveWanted: false } });
}

/**
 * The chains that hold or held a database, the present one first, then those it was attached to before, newest first: a detached
 * database can still be restored from what is stored.
 */
export async function findChainsOfDatabase(queries: CatalogQueries, databaseId: string): Promise<ChainRow[]> {
  const attachments = await queries.attachment.findMany({
    where: { databaseId, chainId: { not: null } },
    include: { chain: { include } },
    orderBy: [{ activeKey: { sort: 'asc', nulls: 'last' } }, { createdAt: 'desc' }],
  });
  const chains = attachments.flatMap(({ chain }) => (chain === null ? [] : [chain]));
  return chains.filter((chain, index) => chains.findIndex((other) => other.id === chain.id) === index);
}

/** When a database was first attached to a chain: it was there by then. */
export async function findJoined(queries: CatalogQueries, chainId: string, databaseId: string): Promise<Date | null> {
  const first = await queries.attachment.findFirst({
    where: { chainId, databaseId },
    orderBy: { createdAt: 'asc' },
    select: { createdAt: true },
  });
  return first?.createdAt ?? null;
}

/** Completed backups of a chain that are not being deleted, newest content first. */
export async function findCompletedOfChain(queries: CatalogQueries, chainId: string) {
  return await queries.backup.findMany({
    where: { chainId, status: 'completed', deletedAt: null, deleteRequestedAt: null },
    select: { id: true, kind: true, parentId: true, takenAt: true },
    orderBy: [{ takenAt: 'desc' }, { id: 'desc' }],
  });
}

/** Which of these policy and server pairs, as `<policyId>/<serverId>`, have a chain. */
export async function findExistingChains(queries: CatalogQueries, keys: readonly string[]): Promise<Set<string>> {
  const policyIds = keys.map((key) => key.split('/')[0] ?? '');
  const rows = await queries.chain.findMany({
    where: { policyId: { in: policyIds } },
    select: { policyId: true, serverId: true },
  });
  const existing = new Set(rows.map((row) => `${row.policyId}/${row.serverId}`));
  return new Set(keys.filter((key) => existing.has(key)));
}

/** Owners of the databases that are registered on a server: whoever downloads a full of it gets all of them. */
export async function findOwnersOnServer(queries: CatalogQueries, serverId: string): Promise<string[]> {
  const rows = await queries.database.findMany({
    where: { serverId, deletedAt: null },
    select: { ownerId: true },
    distinct: ['ownerId'],
  });
  return rows.map((row) => row.ownerId);
}
