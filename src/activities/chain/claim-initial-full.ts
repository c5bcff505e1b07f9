import { noteJoinedFull, requireAttachRun } from '../../catalog/runs/attach-run.js';
import { claimChainRun } from '../../catalog/runs/claim-chain.js';
import { findPresentFull } from '../../catalog/runs/present-full.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import { backupOwner } from '../../storage/layout.js';
import { readManifest } from '../../storage/read-manifest.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { keyOpener, openStore } from '../open-run.js';
import { runShort } from '../run-step.js';
import { toRunError } from './wait-for-chain.js';

/** The step has 15 s, and is tried again. */
const STORE_MS = 8_000;

/**
 * The full with which a chain's stretch of log begins, or with which a database that joins the chain later is protected. One that is under
 * way and of this stretch will do.
 */
export function claimInitialFull(deps: ActivityDeps): Activities['claimInitialFull'] {
  return ({ chainId, claimedAt, attachmentId }) =>
    runShort(deps, 'claim-initial-full', async () => {
      const present = await findPresentFull(deps.catalog, chainId);
      if (present !== null && (await serves(deps, present, attachmentId))) return { backupId: null };
      const claim = await claimChainRun(deps.catalog, {
        chainId,
        kind: 'full',
        trigger: 'schedule',
        scheduledFor: new Date(claimedAt),
      });
      if (claim.state === 'claimed') return { backupId: claim.backupId };
      const skipped =
        claim.backupId === null ? null : await deps.catalog.prisma.backup.findUnique({ where: { id: claim.backupId } });
      const inTheWay =
        skipped?.blockedBy == null
          ? null
          : await deps.catalog.prisma.backup.findUnique({ where: { id: skipped.blockedBy } });
      if (inTheWay?.kind === 'full') return { backupId: inTheWay.id };
      const error = toRunError(skipped?.error);
      throw new TidemarkError(error?.code ?? 'not_found', error?.message ?? claim.reason, { object: chainId });
    });
}

/**
 * Does a full serve a database that joins its chain? One that was made after the full is not in it: then only an archived log holds it. The
 * attachment says from then on when its server was backed up.
 */
async function serves(deps: ActivityDeps, fullId: string, attachmentId: string | undefined): Promise<boolean> {
  if (attachmentId === undefined) return true;
  const row = await requireAttachRun(deps.catalog, attachmentId);
  if (row.lastFullAt !== null) return true;
  try {
    const held = await readHeld(deps, fullId);
    if (!held.databases.includes(row.database.database)) return row.chain.archiveWanted;
    await noteJoinedFull(deps.catalog, attachmentId, held.takenAt);
    return true;
  } catch (error) {
    // Only when it was backed up is not known then.
    if (isTidemarkError(error) && row.chain.archiveWanted) return true;
    throw error;
  }
}

async function readHeld(deps: ActivityDeps, fullId: string): Promise<{ databases: readonly string[]; takenAt: Date }> {
  const full = await deps.catalog.prisma.backup.findUniqueOrThrow({
    where: { id: fullId },
    include: { destination: true },
  });
  const destination = await openStore(deps, full.destination, { patienceMs: STORE_MS });
  try {
    const { manifest } = await readManifest({
      destination,
      ownerId: backupOwner(full),
      backupId: full.id,
      openKey: keyOpener(deps),
      signal: AbortSignal.timeout(STORE_MS),
    });
    // The row's time, as the other databases of the server have it: the manifest's may differ by a rounded millisecond.
    return { databases: manifest.chain?.databases ?? [], takenAt: full.takenAt ?? new Date(manifest.takenAt) };
  } finally {
    destination.close();
  }
}
