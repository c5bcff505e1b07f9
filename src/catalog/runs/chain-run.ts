import { TidemarkError } from '../../domain/errors.js';
import type { ServerIdentity } from '../../domain/positions.js';
import type { BackupStatus } from '../../domain/statuses.js';
import { isActive } from '../../domain/statuses.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { chainNextKey, chainRunKey } from './claim-chain.js';
import { settlePitr } from './present-full.js';
import { isSwapping } from './restored-into.js';
import { noJson, toJson } from './run-json.js';

/** What the entity of a chain and the attempts of its backups read and note. */

export type NextChainRun = {
  readonly backupId: string;
  readonly kind: 'full' | 'incremental';
  readonly trigger: 'manual' | 'schedule';
  readonly databaseId: string;
};

export type ChainState =
  | { readonly state: 'gone' }
  /** `alive`: databases are attached; there will be something to do. */
  | { readonly state: 'idle'; readonly alive: boolean }
  | { readonly state: 'run'; readonly run: NextChainRun };

/** The run that a chain is at: the one that has its key, else the one that waits, which takes the key. */
export async function takeNextChainRun(catalog: Catalog, chainId: string): Promise<ChainState> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Chain" where id = ${chainId} for update`;
    const chain = await tx.chain.findUnique({
      where: { id: chainId },
      include: { attachments: { where: { activeKey: { not: null } }, select: { id: true } } },
    });
    if (chain === null) return { state: 'gone' };
    const own = await tx.backup.findFirst({ where: { activeKey: chainRunKey(chainId) } });
    const waiting = own === null ? await tx.backup.findFirst({ where: { activeKey: chainNextKey(chainId) } }) : null;
    if (waiting !== null) {
      await tx.backup.update({ where: { id: waiting.id }, data: { activeKey: chainRunKey(chainId) } });
    }
    const run = own ?? waiting;
    if (run === null) return { state: 'idle', alive: chain.attachments.length > 0 };
    // What has begun goes on. What has not stays where it stands: the reconcile loop asks for it again once the swap is over.
    if (run.status === 'pending' && (await isSwapping(tx, chainId))) return { state: 'idle', alive: true };
    return {
      state: 'run',
      run: {
        backupId: run.id,
        kind: run.kind as NextChainRun['kind'],
        trigger: run.trigger as NextChainRun['trigger'],
        databaseId: run.databaseId,
      },
    };
  });
}

/** Incrementals on one full before the next one begins on the full again: a recovery has to read and combine all of them. */
const MAX_CHAIN = 24;

export type ParentRow = { readonly id: string; readonly epoch: number | null };

/**
 * The backup on which the next incremental of a chain builds: the newest completed one of its newest full, or that full itself once the
 * chain is long. Null when there is no full, or only in another destination.
 */
export async function findParent(catalog: Catalog, chainId: string, destinationId: string): Promise<ParentRow | null> {
  const rows = await catalog.prisma.backup.findMany({
    where: {
      ...{ chainId, destinationId, status: 'completed', deleteRequestedAt: null, deletedAt: null },
      damage: { equals: noJson },
    },
    orderBy: [{ takenAt: 'desc' }, { id: 'desc' }],
    select: { id: true, kind: true, parentId: true, epoch: true },
  });
  const newest = rows[0];
  if (newest === undefined) return null;
  const byId = new Map(rows.map((row) => [row.id, row]));
  let depth = 0;
  for (let at = newest; ; depth += 1) {
    if (at.kind === 'full') return depth >= MAX_CHAIN ? at : newest;
    const parent = at.parentId === null ? undefined : byId.get(at.parentId);
    // Something between it and its full is gone: nothing can be built on it.
    if (parent === undefined || depth > rows.length) return rows.find((row) => row.kind === 'full') ?? null;
    at = parent;
  }
}

export type ChainFacts = {
  readonly kind?: 'full';
  readonly fellBack?: { readonly code: string; readonly message: string };
  readonly parentId?: string | null;
  readonly epoch?: number | null;
  readonly sourceDatabaseId?: string | null;
};

/**
 * Notes what an attempt has decided, before it acts on it: retention leaves alone what stands here, and nobody deletes it. False when it is
 * fenced. Throws `incremental_impossible` for a parent that somebody has just deleted.
 */
export async function noteChainFacts(
  catalog: Catalog,
  backupId: string,
  token: number,
  { fellBack, ...plain }: ChainFacts,
): Promise<boolean> {
  return await catalog.prisma.$transaction(async (tx) => {
    if (typeof plain.parentId === 'string') await assertStays(tx, plain.parentId);
    const { count } = await tx.backup.updateMany({
      where: { id: backupId, fencingToken: token, status: 'in_progress' },
      data: { ...plain, ...(fellBack === undefined ? {} : { fellBack: toJson(fellBack) }) },
    });
    return count === 1;
  });
}

/** Under the row's lock, which a deletion takes too: of the two one sees the other. */
async function assertStays(tx: CatalogQueries, id: string): Promise<void> {
  const [row] = await tx.$queryRaw<{ deleteRequestedAt: Date | null }[]>`
    select "deleteRequestedAt" from "Backup" where id = ${id} for update`;
  if (row !== undefined && row.deleteRequestedAt === null) return;
  throw new TidemarkError(
    'incremental_impossible',
    `An incremental backup is not possible: its parent ${id} was deleted.`,
  );
}

/** Runs under way that are built on one of these. */
export async function findBuiltOn(tx: CatalogQueries, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.backup.findMany({
    where: { status: 'in_progress', parentId: { in: [...ids] } },
    select: { id: true },
  });
  return rows.map(({ id }) => id);
}

/** From which database's connection the newest completed backup before this one was read. Null: there is none. */
export async function findLastSource(catalog: Catalog, chainId: string): Promise<string | null> {
  const row = await catalog.prisma.backup.findFirst({
    where: { chainId, status: 'completed' },
    orderBy: { completedAt: 'desc' },
    select: { sourceDatabaseId: true, databaseId: true },
  });
  return row === null ? null : (row.sourceDatabaseId ?? row.databaseId);
}

export type SettledChainRun = {
  /** False: the run has no result yet, whatever became of its workflow. */
  readonly settled: boolean;
  readonly status: BackupStatus;
};

/**
 * After a run has its result: the attachments say when their server was last backed up, and PITR is active again once a full of the present
 * epoch is there. Safe to repeat.
 */
export async function noteChainRun(catalog: Catalog, backupId: string): Promise<SettledChainRun> {
  const { prisma } = catalog;
  const run = await prisma.backup.findUnique({ where: { id: backupId }, include: { chain: true } });
  if (run === null) return { settled: true, status: 'failed' };
  const status = run.status as BackupStatus;
  if (isActive(status)) return { settled: false, status };
  const { chain, takenAt } = run;
  if (status !== 'completed' || chain === null || takenAt === null) return { settled: true, status };
  const column = run.kind === 'full' ? 'lastFullAt' : 'lastIncrementalAt';
  await prisma.attachment.updateMany({
    where: { chainId: chain.id, activeKey: { not: null }, OR: [{ [column]: null }, { [column]: { lt: takenAt } }] },
    data: { [column]: takenAt },
  });
  if (run.kind === 'full' && chain.archiveWanted) await settlePitr(catalog, chain.id);
  return { settled: true, status };
}

/** A server as its row knows it. */
export function identityOf(server: {
  engine: string;
  identity: string;
  version: string;
  major: string;
}): ServerIdentity {
  const { engine, identity, version, major } = server;
  return { engine: engine as ServerIdentity['engine'], identity, version, major };
}
