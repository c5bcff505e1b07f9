import { compareLogPositions } from '../../domain/compare-positions.js';
import type { LogPosition } from '../../domain/positions.js';
import type { Catalog } from '../client.js';
import { findLogRuns } from './recovery-window.js';
import { noJson } from './run-json.js';

/**
 * Has the chain a completed full that the present log goes on from? One that ended before the present stretch of the stored log begins opens
 * no window, whatever epoch it was taken in: what was written between the two is stored nowhere.
 */
export async function hasPresentFull(catalog: Catalog, chainId: string): Promise<boolean> {
  return (await findPresentFull(catalog, chainId)) !== null;
}

/** As `hasPresentFull`: the newest such full, or null. */
export async function findPresentFull(catalog: Catalog, chainId: string): Promise<string | null> {
  const chain = await catalog.prisma.chain.findUnique({ where: { id: chainId } });
  if (chain === null) return null;
  const fulls = await catalog.prisma.backup.findMany({
    where: {
      chainId,
      kind: 'full',
      status: 'completed',
      deleteRequestedAt: null,
      deletedAt: null,
      damage: { equals: noJson },
      ...(chain.archiveWanted ? { epoch: chain.archiveEpoch } : {}),
    },
    orderBy: { takenAt: 'desc' },
    select: { id: true, position: true },
  });
  if (!chain.archiveWanted) return fulls[0]?.id ?? null;
  const newest = (await findLogRuns(catalog, chainId)).findLast((run) => run.epoch === chain.archiveEpoch);
  if (newest === undefined) return null;
  // It may have ended later than what is stored just now: that is on its way.
  const present = fulls.find(({ position }) => compareLogPositions(newest.start, (position ?? {}) as LogPosition) <= 0);
  return present?.id ?? null;
}

const attached = (chainId: string) => ({ chainId, activeKey: { not: null }, status: 'active' });

/**
 * Brings what attachments say of PITR to what is stored: active again once a full of the present stretch is there, an error as soon as none
 * is. Only an error that a broken log made is taken back; `because` says what broke it when it is not known by another.
 */
export async function settlePitr(catalog: Catalog, chainId: string, because?: string): Promise<void> {
  if (await hasPresentFull(catalog, chainId)) {
    await catalog.prisma.attachment.updateMany({
      where: { ...attached(chainId), pitrStatus: 'error', pitrError: { path: ['code'], equals: 'log_gap' } },
      data: { pitrStatus: 'active', pitrError: noJson },
    });
  } else if (because !== undefined) {
    const chain = await catalog.prisma.chain.findUnique({ where: { id: chainId }, select: { archiveWanted: true } });
    if (chain?.archiveWanted !== true) return;
    await catalog.prisma.attachment.updateMany({
      where: { ...attached(chainId), pitrStatus: 'active' },
      data: { pitrStatus: 'error', pitrError: { code: 'log_gap', message: because } },
    });
  }
}

/** A failed full is asked for again after this long, and after twice as long each time it fails again. */
const FIRST_PAUSE_MS = 5 * 60_000;
const LONGEST_PAUSE_MS = 6 * 3_600_000;

/**
 * Whether a full has to be asked for now although no schedule does: the log is followed, but no full of its present stretch is there and
 * none is on its way. The one that a gap asked for may have been skipped or have failed, and without it nothing later is restorable.
 */
export async function needsFull(catalog: Catalog, chainId: string, now: Date): Promise<boolean> {
  const { prisma } = catalog;
  const chain = await prisma.chain.findFirst({
    where: {
      id: chainId,
      endedAt: null,
      archiveWanted: true,
      archiveStatus: 'following',
      coveredTo: { not: null },
      policy: { status: { not: 'paused' }, deletedAt: null },
      // The first full is the matter of the attachment's own workflow.
      attachments: { some: { activeKey: { not: null }, status: 'active' } },
    },
  });
  if (chain === null) return false;
  const active = { chainId, status: { in: ['pending', 'in_progress'] }, kind: 'full' };
  if ((await prisma.backup.count({ where: active })) > 0) return false;
  if (await hasPresentFull(catalog, chainId)) return false;
  const tried = await prisma.backup.findMany({
    where: { chainId, kind: 'full', status: { in: ['completed', 'failed', 'cancelled'] } },
    orderBy: { createdAt: 'desc' },
    take: 10,
    select: { status: true, completedAt: true, createdAt: true },
  });
  const sinceSuccess = tried.findIndex(({ status }) => status === 'completed');
  const failed = sinceSuccess === -1 ? tried.length : sinceSuccess;
  // A completed one that opens no window: taken again at once it might not either.
  const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, failed - 1));
  const last = tried[0];
  return last === undefined || now.getTime() - (last.completedAt ?? last.createdAt).getTime() >= pause;
}
