import { createHash } from 'node:crypto';
import { compareLogPositions } from '../../domain/compare-positions.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { LogPosition } from '../../domain/positions.js';
import type { ArchiveStatus } from '../../domain/statuses.js';
import type { Catalog } from '../client.js';
import type { LogGap } from '../generated/client.js';
import { noJson, toJson } from './run-json.js';
import { fencedArchive, findLastSlice } from './slices.js';

/** What the follower of a server's log needs to know, and what it notes. */

/** Attachments that a chain serves: those that were not let go. */
const attached = { activeKey: { not: null } } as const;

export async function readArchiveRun(catalog: Catalog, chainId: string) {
  const chain = await catalog.prisma.chain.findUnique({
    where: { id: chainId },
    include: {
      server: true,
      policy: { include: { destination: true, key: true } },
      attachments: {
        where: attached,
        orderBy: { createdAt: 'asc' },
        include: {
          database: { include: { server: true, replicas: { where: { deletedAt: null }, include: { server: true } } } },
        },
      },
    },
  });
  if (chain === null) throw new TidemarkError('not_found', `There is no chain ${chainId}.`, { object: chainId });
  return chain;
}
export type ArchiveRun = Awaited<ReturnType<typeof readArchiveRun>>;

/** The desired state of an archive, read anew after each wake. Null: there is no such chain any more. */
export async function readArchiveWish(catalog: Catalog, chainId: string) {
  const chain = await catalog.prisma.chain.findUnique({
    where: { id: chainId },
    include: {
      policy: true,
      attachments: {
        where: attached,
        orderBy: { createdAt: 'asc' },
        include: { database: { include: { replicas: { where: { deletedAt: null }, orderBy: { createdAt: 'asc' } } } } },
      },
    },
  });
  if (chain === null) return null;
  const { policy } = chain;
  const sources = chain.attachments
    .flatMap(({ database }) => [database, ...database.replicas])
    .map(({ id, host, port, username, secretId }) => [id, host, port, username, secretId]);
  const settings = JSON.stringify([policy.destinationId, policy.keyId, chain.archiveEpoch, sources]);
  return {
    wanted: chain.archiveWanted && chain.endedAt === null && chain.attachments.length > 0,
    held: chain.archiveStatus !== 'off' && chain.archiveStatus !== 'stopped',
    policyId: chain.policyId,
    serverId: chain.serverId,
    // Another connection, replica, key or destination: the log has to be followed anew. Hashed: addresses do not belong into histories.
    settings: createHash('sha256').update(settings).digest('hex').slice(0, 16),
  };
}

/** Begins a follower: raises the token, so that an earlier one publishes nothing from now on. */
export async function raiseArchiveToken(catalog: Catalog, chainId: string): Promise<{ token: number; epoch: number }> {
  const chain = await catalog.prisma.chain.update({
    where: { id: chainId },
    data: { archiveToken: { increment: 1 } },
    select: { archiveToken: true, archiveEpoch: true },
  });
  return { token: chain.archiveToken, epoch: chain.archiveEpoch };
}

export async function assertHoldsArchive(catalog: Catalog, chainId: string, token: number): Promise<void> {
  const chain = await catalog.prisma.chain.findUnique({ where: { id: chainId }, select: { archiveToken: true } });
  if (chain?.archiveToken !== token) throw fencedArchive(chainId);
}

export type ArchiveFacts = {
  readonly archiveStatus?: ArchiveStatus;
  readonly archiveError?: { readonly code: string; readonly message: string } | null;
  readonly coveredTo?: string;
  readonly sourceDatabaseId?: string;
};

/**
 * Only the holder of the token may write. What is covered never goes back: a source that took over may have a slower clock, and what was
 * stored is still there. Throws `fenced`.
 */
export async function writeArchiveFacts(
  catalog: Catalog,
  chainId: string,
  token: number,
  { archiveError, coveredTo, ...plain }: ArchiveFacts,
): Promise<void> {
  const { count } = await catalog.prisma.chain.updateMany({
    where: { id: chainId, archiveToken: token },
    data: {
      ...plain,
      ...(archiveError === undefined ? {} : { archiveError: archiveError === null ? noJson : toJson(archiveError) }),
      ...(plain.archiveStatus === 'following' ? { archiveSince: new Date() } : {}),
      archiveSeenAt: new Date(),
    },
  });
  if (count !== 1) throw fencedArchive(chainId);
  if (coveredTo === undefined) return;
  const time = new Date(coveredTo);
  await catalog.prisma.chain.updateMany({
    where: { id: chainId, archiveToken: token, OR: [{ coveredTo: null }, { coveredTo: { lt: time } }] },
    data: { coveredTo: time },
  });
}

/** The follower that holds the token lives. One that was replaced notes nothing. */
export async function noteArchiveSeen(catalog: Catalog, chainId: string, token: number): Promise<void> {
  await catalog.prisma.chain.updateMany({
    where: { id: chainId, archiveToken: token },
    data: { archiveSeenAt: new Date() },
  });
}

/** Whatever follower there was, it is over, and why. */
export async function noteArchiveError(
  catalog: Catalog,
  chainId: string,
  error: { code: string; message: string },
): Promise<void> {
  await catalog.prisma.chain.updateMany({
    where: { id: chainId },
    data: { archiveStatus: 'error', archiveError: toJson(error) },
  });
}

/** The source was released: nothing of ours is held there any more, or what is left is a clean-up of its own. */
export async function noteArchiveStopped(catalog: Catalog, chainId: string): Promise<void> {
  await catalog.prisma.chain.updateMany({
    where: { id: chainId },
    data: { archiveStatus: 'stopped', archiveError: noJson, archiveToken: { increment: 1 }, sourceDatabaseId: null },
  });
}

export type NotedGap = {
  readonly gapId: string;
  /** False: it was noted before, and nothing has been stored since. */
  readonly isNew: boolean;
  readonly policyId: string;
  readonly from: Date | null;
  /** The last that is stored, and the first that is known again; null: not known. */
  readonly fromPosition: LogPosition | null;
  readonly toPosition: LogPosition | null;
  readonly notedAt: Date;
};

/**
 * A part of the log is lost: notes the range, begins the next epoch and marks the attachments. While the new epoch holds nothing this is the
 * same gap, asked again: a source that loses its log again and again makes one gap, not hundreds. Null when nothing was ever stored: then
 * nothing is broken.
 */
export async function insertGap(
  catalog: Catalog,
  chainId: string,
  reason: { code: string; message: string },
  range: { readonly from: LogPosition | null; readonly to: LogPosition | null },
): Promise<NotedGap | null> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Chain" where id = ${chainId} for update`;
    const chain = await tx.chain.findUniqueOrThrow({ where: { id: chainId } });
    const { policyId, archiveEpoch: epoch, coveredTo } = chain;
    const present = (gap: LogGap, isNew: boolean): NotedGap => ({
      ...{ gapId: gap.id, isNew, policyId, from: gap.from, notedAt: gap.createdAt },
      fromPosition: gap.fromPosition as LogPosition | null,
      toPosition: gap.toPosition as LogPosition | null,
    });
    await tx.attachment.updateMany({
      where: { chainId, ...attached, pitrStatus: { not: 'disabled' } },
      data: { pitrStatus: 'error', pitrError: toJson(reason) },
    });
    const last = await findLastSlice(tx, chainId, epoch);
    if (last === null) {
      const before = await tx.logGap.findFirst({
        where: { chainId, epoch: epoch - 1 },
        orderBy: { createdAt: 'desc' },
      });
      return before === null ? null : present(before, false);
    }
    const stored = last.endPosition as LogPosition;
    // What is stored behind it may be damaged: then less is known than was noted.
    const isDamaged = range.from !== null && compareLogPositions(range.from, stored) < 0;
    const from = coveredTo ?? (isDamaged ? null : last.coversTo);
    const gap = await tx.logGap.create({
      data: {
        id: newId('gap'),
        chainId,
        epoch,
        fromPosition: toJson(isDamaged ? range.from : stored),
        toPosition: range.to === null ? noJson : toJson(range.to),
        from,
        reason: toJson(reason),
      },
    });
    // An idle source is covered further than its last slice tells.
    if (!isDamaged && coveredTo !== null && (last.coversTo === null || last.coversTo < coveredTo)) {
      await tx.logSlice.update({ where: { id: last.id }, data: { coversTo: coveredTo } });
    }
    await tx.chain.update({
      where: { id: chainId },
      // What was covered was covered of the old epoch; its slices say so.
      data: { archiveEpoch: { increment: 1 }, archiveToken: { increment: 1 }, coveredTo: null },
    });
    return present(gap, true);
  });
}

/** Every database through which a chain's log may have been held: attached ones, former ones, and their replicas. */
export async function readArchiveSources(catalog: Catalog, chainId: string) {
  const chain = await catalog.prisma.chain.findUnique({
    where: { id: chainId },
    include: {
      attachments: { include: { database: { include: { server: true, replicas: { include: { server: true } } } } } },
    },
  });
  if (chain === null) throw new TidemarkError('not_found', `There is no chain ${chainId}.`, { object: chainId });
  const all = chain.attachments.flatMap(({ database }) => [database, ...database.replicas]);
  // Two databases of one server hold one slot.
  const servers = new Map(all.map((database) => [`${database.host}:${database.port}`, database]));
  return { chain, databases: [...servers.values()] };
}

/** Something of ours is left on a user's server: kept as a clean-up, once per server and name. */
export async function insertCleanup(
  catalog: Catalog,
  {
    secret,
    cleanup,
    error,
  }: {
    readonly secret: { readonly id: string; readonly sealed: string };
    readonly cleanup: {
      readonly engine: string;
      readonly host: string;
      readonly port: number;
      readonly username: string;
      readonly database: string;
      readonly tls: unknown;
      readonly name: string;
      readonly policyId: string;
      readonly databaseId: string;
    };
    readonly error: { readonly code: string; readonly message: string };
  },
): Promise<void> {
  const { host, port, name, tls } = cleanup;
  await catalog.prisma.$transaction(async (tx) => {
    if ((await tx.sourceCleanup.count({ where: { host, port, name, doneAt: null } })) > 0) return;
    await tx.secret.create({ data: { ...secret, purpose: 'cleanup' } });
    await tx.sourceCleanup.create({
      data: {
        ...cleanup,
        id: newId('cleanup'),
        kind: 'replication_slot',
        secretId: secret.id,
        tls: tls === null ? noJson : toJson(tls),
        attempts: 1,
        lastError: toJson(error),
      },
    });
  });
}
