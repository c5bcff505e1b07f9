import type { RetainedSlice } from '../../domain/chain-retention.js';
import { TidemarkError } from '../../domain/errors.js';
import { newId } from '../../domain/ids.js';
import type { LogPosition } from '../../domain/positions.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { noJson, toJson } from './run-json.js';

/** Rows of log slices. Whoever writes them holds the chain's newest archive token. */

export type SliceRow = {
  readonly fromSeq: number;
  readonly seq: number;
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly endsFile: boolean;
  readonly startPosition: LogPosition;
  readonly endPosition: LogPosition;
  readonly firstCommitAt: string | null;
  readonly lastCommitAt: string | null;
  readonly coversTo: string | null;
  readonly sha256: string;
  readonly previous: string | null;
  readonly recordSha256: string;
  readonly recordKey: string;
  readonly objectKey: string;
};

type Holder = { readonly chainId: string; readonly epoch: number; readonly token: number };

/** Named by nothing larger, and not to be removed. */
const standing = { supersededAt: null, deletedAt: null };
/** What can be read: everything that plans, reads or counts asks for these. */
const live = { ...standing, damage: { equals: noJson } };

/** Notes slices that are durable in the store; those that one of them replaces are marked. Throws `fenced` for an older token. */
export async function insertSlices(catalog: Catalog, holder: Holder, rows: readonly SliceRow[]): Promise<void> {
  const { chainId, epoch } = holder;
  await catalog.prisma.$transaction(async (tx) => {
    const { count } = await tx.chain.updateMany({
      where: { id: chainId, archiveToken: holder.token, archiveEpoch: epoch },
      // Locks the row until the end: a newer follower waits, and then sees what was written.
      data: { archiveToken: holder.token },
    });
    if (count !== 1) throw fencedArchive(chainId);
    for (const row of rows) {
      await tx.logSlice.create({ data: sliceData(chainId, epoch, row) });
      await markReplaced(tx, chainId, epoch, row);
      // The first of an epoch says where the log is known again after the gap.
      if (row.fromSeq === 1 && row.seq === 1) {
        await tx.logGap.updateMany({
          where: { chainId, epoch: epoch - 1, toPosition: { equals: noJson } },
          data: { toPosition: toJson(row.startPosition) },
        });
      }
    }
  });
}

/** A slice as a new row. */
export function sliceData(chainId: string, epoch: number, row: SliceRow) {
  const { firstCommitAt, lastCommitAt, coversTo, startPosition, endPosition, ...plain } = row;
  return {
    ...plain,
    id: newId('slice'),
    chainId,
    epoch,
    firstCommitAt: date(firstCommitAt),
    lastCommitAt: date(lastCommitAt),
    coversTo: date(coversTo),
    startPosition: toJson(startPosition),
    endPosition: toJson(endPosition),
  };
}

/** Marks the smaller slices that stand for numbers which `row` stands for too. */
export async function markReplaced(
  tx: CatalogQueries,
  chainId: string,
  epoch: number,
  { fromSeq, seq }: Pick<SliceRow, 'fromSeq' | 'seq'>,
): Promise<void> {
  if (fromSeq === seq) return;
  await tx.logSlice.updateMany({
    where: { chainId, epoch, ...standing, fromSeq: { gte: fromSeq }, seq: { lte: seq }, NOT: { fromSeq, seq } },
    data: { supersededAt: new Date() },
  });
}

const date = (text: string | null) => (text === null ? null : new Date(text));

export function fencedArchive(chainId: string): TidemarkError {
  return new TidemarkError(
    'fenced',
    `A newer follower of the log of ${chainId} has taken over; this one publishes nothing.`,
    {
      object: chainId,
    },
  );
}

/** The newest slice of an epoch by its numbers, superseded ones too: the next one names it. */
export async function findLastSlice(queries: CatalogQueries, chainId: string, epoch: number) {
  return await queries.logSlice.findFirst({
    where: { chainId, epoch },
    orderBy: [{ seq: 'desc' }, { fromSeq: 'asc' }],
  });
}

const noted = {
  recordKey: true,
  recordSha256: true,
  fromSeq: true,
  seq: true,
  file: true,
  startPosition: true,
} as const;

/** A file's slices that nothing replaces, in order; those that were found damaged as well. */
export async function findSlicesOfFile(catalog: Catalog, chainId: string, epoch: number, file: string) {
  return await catalog.prisma.logSlice.findMany({
    where: { chainId, epoch, file, ...standing },
    orderBy: { fromSeq: 'asc' },
    select: noted,
  });
}

/** All slices of an epoch that nothing replaces, in order; those that were found damaged as well. */
export async function findSlicesOfEpoch(catalog: Catalog, chainId: string, epoch: number) {
  return await catalog.prisma.logSlice.findMany({
    where: { chainId, epoch, ...standing },
    orderBy: { fromSeq: 'asc' },
    select: noted,
  });
}

/** Live slices below a size, which may be put together to larger ones, in order. */
export async function findSmallSlices(catalog: Catalog, chainId: string, epoch: number, below: number) {
  return await catalog.prisma.logSlice.findMany({
    where: { chainId, epoch, bytes: { lt: BigInt(below) }, ...live },
    orderBy: { fromSeq: 'asc' },
    select: noted,
  });
}

/** Name of the newest file before `seq` that is stored to its end. */
export async function findFileBefore(catalog: Catalog, chainId: string, epoch: number, file: string, seq: number) {
  const row = await catalog.prisma.logSlice.findFirst({
    where: {
      chainId,
      epoch,
      seq: { lt: seq },
      endsFile: true,
      NOT: [{ file }, { file: { endsWith: '.history' } }],
      ...live,
    },
    orderBy: { seq: 'desc' },
    select: { file: true },
  });
  return row?.file ?? null;
}

/** Live slices of a chain as a recovery plans with them, in order of epoch and number. */
export async function listPlanSlices(catalog: Catalog, chainId: string): Promise<RetainedSlice[]> {
  const rows = await catalog.prisma.logSlice.findMany({
    where: { chainId, ...live },
    orderBy: [{ epoch: 'asc' }, { fromSeq: 'asc' }],
    select: {
      id: true,
      storedBytes: true,
      epoch: true,
      fromSeq: true,
      seq: true,
      file: true,
      offset: true,
      startPosition: true,
      endPosition: true,
      coversTo: true,
    },
  });
  return rows.map((row) => ({
    ...row,
    offset: Number(row.offset),
    storedBytes: Number(row.storedBytes),
    startPosition: row.startPosition as LogPosition,
    endPosition: row.endPosition as LogPosition,
    coversTo: row.coversTo?.toISOString() ?? null,
  }));
}

/** Records of the live slices that touch a range of numbers, in order, and how many bytes they hold. */
export async function findSlicesInRange(
  catalog: Catalog,
  chainId: string,
  range: { readonly epoch: number; readonly fromSeq: number; readonly toSeq: number },
) {
  return await catalog.prisma.logSlice.findMany({
    where: { chainId, epoch: range.epoch, seq: { gte: range.fromSeq }, fromSeq: { lte: range.toSeq }, ...live },
    orderBy: { fromSeq: 'asc' },
    select: { recordKey: true, recordSha256: true, fromSeq: true, seq: true, bytes: true, storedBytes: true },
  });
}

/** Slices that larger ones replaced some time ago: readers that had chosen them are done. */
export async function findSuperseded(catalog: Catalog, chainId: string, before: Date, limit = 500) {
  return await catalog.prisma.logSlice.findMany({
    where: { chainId, supersededAt: { lt: before } },
    orderBy: [{ epoch: 'asc' }, { seq: 'asc' }],
    take: limit,
    select: { id: true, recordKey: true, objectKey: true },
  });
}

/** The objects of superseded slices are gone; the larger ones stand for them. */
export async function forgetSlices(catalog: Catalog, ids: readonly string[]): Promise<void> {
  await catalog.prisma.logSlice.deleteMany({ where: { id: { in: [...ids] } } });
}
