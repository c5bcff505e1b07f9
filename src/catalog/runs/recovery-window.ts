import type { RetainedSlice } from '../../domain/chain-retention.js';
import type { LogPosition } from '../../domain/positions.js';
import type { PlanInput } from '../../domain/recovery-plan.js';
import { withPresent } from '../../domain/recovery-plan.js';
import type { ChainBackup, LogRun, RecoveryWindow, WindowOf } from '../../domain/recovery-window.js';
import { computeWindow } from '../../domain/recovery-window.js';
import type { Catalog } from '../client.js';
import { noJson } from './run-json.js';
import { listPlanSlices } from './slices.js';

/**
 * What of a chain can be recovered, from what is stored (never from the schedule). Null: nothing yet. A full holds the whole server: the
 * window is the same for every database on it, but for one that came later, whose own begins when it was there (`of`).
 */
export async function recoveryWindow(
  catalog: Catalog,
  { chainId, of = null }: { readonly chainId: string; readonly of?: WindowOf | null },
): Promise<RecoveryWindow | null> {
  const [backups, runs, present] = await Promise.all([
    listChainBackups(catalog, chainId),
    findLogRuns(catalog, chainId),
    readPresent(catalog, chainId),
  ]);
  return computeWindow(backups, withPresent(runs, present), of);
}

/** Everything that a recovery plans with. */
export async function readPlanInput(
  catalog: Catalog,
  chainId: string,
): Promise<PlanInput & { readonly slices: readonly RetainedSlice[] }> {
  const [backups, slices, present] = await Promise.all([
    listChainBackups(catalog, chainId),
    listPlanSlices(catalog, chainId),
    readPresent(catalog, chainId),
  ]);
  return { backups, slices, present };
}

async function readPresent(catalog: Catalog, chainId: string): Promise<PlanInput['present']> {
  const chain = await catalog.prisma.chain.findUnique({
    where: { id: chainId },
    select: { archiveEpoch: true, coveredTo: true },
  });
  if (chain === null) return null;
  return { epoch: chain.archiveEpoch, coveredTo: chain.coveredTo?.toISOString() ?? null };
}

/** Completed fulls and incrementals that are not being deleted. */
async function listChainBackups(catalog: Catalog, chainId: string): Promise<ChainBackup[]> {
  const rows = await catalog.prisma.backup.findMany({
    where: { chainId, status: 'completed', deleteRequestedAt: null, deletedAt: null, takenAt: { not: null } },
    orderBy: { takenAt: 'asc' },
    select: {
      id: true,
      kind: true,
      parentId: true,
      epoch: true,
      takenAt: true,
      startPosition: true,
      position: true,
      bytes: true,
      damage: true,
      databases: true,
    },
  });
  return rows.map((row) => ({
    // Rows of earlier builds do not say it.
    ...(row.databases === null ? {} : { databases: row.databases as string[] }),
    id: row.id,
    kind: row.kind === 'full' ? 'full' : 'incremental',
    // One that holds no data stands for a range of the log.
    incremental: row.kind === 'full' ? null : row.bytes === 0n ? 'log' : 'physical',
    parentId: row.parentId,
    epoch: row.epoch,
    takenAt: row.takenAt?.toISOString() ?? '',
    startPosition: (row.startPosition ?? row.position ?? {}) as LogPosition,
    endPosition: (row.position ?? {}) as LogPosition,
    damaged: row.damage !== null,
  }));
}

type Stretch = { epoch: number; fromSeq: number; toSeq: number; coversTo: Date | null };

/** Stretches of the log without a hole, found in the database: a busy server has tens of thousands of slices. */
export async function findLogRuns(catalog: Catalog, chainId: string): Promise<LogRun[]> {
  const stretches = await catalog.prisma.$queryRaw<Stretch[]>`
    with live as (
      select epoch, "fromSeq", seq, "coversTo",
        case when "fromSeq" = lag(seq) over (partition by epoch order by "fromSeq") + 1 then 0 else 1 end as begins
      from "LogSlice" where "chainId" = ${chainId} and "supersededAt" is null and "deletedAt" is null
        and damage is null
    ), grouped as (
      select *, sum(begins) over (partition by epoch order by "fromSeq") as stretch from live
    )
    select epoch, min("fromSeq")::int as "fromSeq", max(seq)::int as "toSeq", max("coversTo") as "coversTo"
    from grouped group by epoch, stretch order by epoch, 2`;
  const ends = await catalog.prisma.logSlice.findMany({
    where: {
      chainId,
      supersededAt: null,
      deletedAt: null,
      damage: { equals: noJson },
      OR: stretches.flatMap(({ epoch, fromSeq, toSeq }) => [
        { epoch, fromSeq },
        { epoch, seq: toSeq },
      ]),
    },
    select: { epoch: true, fromSeq: true, seq: true, startPosition: true, endPosition: true },
  });
  return stretches.map(({ epoch, fromSeq, toSeq, coversTo }) => ({
    epoch,
    fromSeq,
    toSeq,
    start: (ends.find((slice) => slice.epoch === epoch && slice.fromSeq === fromSeq)?.startPosition ??
      {}) as LogPosition,
    end: (ends.find((slice) => slice.epoch === epoch && slice.seq === toSeq)?.endPosition ?? {}) as LogPosition,
    coversTo: coversTo?.toISOString() ?? null,
  }));
}
