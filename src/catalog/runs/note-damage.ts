import type { Catalog } from '../client.js';
import { noJson, toJson } from './run-json.js';
import { fencedArchive } from './slices.js';

/** What was found wrong with something that is stored. */
export type Damage = { readonly code: string; readonly message: string };

/** As it stands in a `damage` column. */
export const damageColumn = ({ code, message }: Damage) => toJson({ code, message, at: new Date().toISOString() });

/**
 * The end of an archive is damaged: `damaged` cannot be read, and the log is known only up to number `goodTo`, whose file was read whole
 * (`good`). What is covered goes back to there, for which alone it may: what was stored is not. Only the holder of the token may write.
 * Throws `fenced`.
 */
export async function noteDamagedEnd(
  catalog: Catalog,
  holder: { readonly chainId: string; readonly epoch: number; readonly token: number },
  found: {
    readonly damaged: readonly (Damage & { readonly recordKey: string })[];
    readonly good: readonly string[];
    readonly goodTo: number;
  },
): Promise<void> {
  const { chainId, epoch, token } = holder;
  await catalog.prisma.$transaction(async (tx) => {
    const chain = await tx.chain.findFirst({ where: { id: chainId, archiveEpoch: epoch, archiveToken: token } });
    if (chain === null) throw fencedArchive(chainId);
    for (const { recordKey, ...damage } of found.damaged) {
      await tx.logSlice.updateMany({ where: { chainId, epoch, recordKey }, data: { damage: damageColumn(damage) } });
    }
    await tx.logSlice.updateMany({
      where: { chainId, epoch, recordKey: { in: [...found.good] } },
      data: { damage: noJson },
    });
    const last = await tx.logSlice.findFirst({
      where: { chainId, epoch, seq: { lte: found.goodTo }, coversTo: { not: null } },
      orderBy: { seq: 'desc' },
    });
    const coveredTo = last?.coversTo ?? null;
    if (chain.coveredTo === null || (coveredTo !== null && coveredTo >= chain.coveredTo)) return;
    await tx.chain.update({ where: { id: chainId }, data: { coveredTo } });
  });
}

/** A backup was found damaged: no point in time is planned with it from now on. What was noted first stands. */
export async function noteBackupDamage(catalog: Catalog, backupId: string, damage: Damage): Promise<void> {
  await catalog.prisma.backup.updateMany({
    where: { id: backupId, damage: { equals: noJson } },
    data: { damage: damageColumn(damage) },
  });
}

/** A slice of a chain's log was found damaged, by the key of its record or object: the stored log has a hole there. False: it is none. */
export async function noteSliceDamage(
  catalog: Catalog,
  chainId: string,
  key: string,
  damage: Damage,
): Promise<boolean> {
  const { count } = await catalog.prisma.logSlice.updateMany({
    where: { chainId, OR: [{ recordKey: key }, { objectKey: key }] },
    data: { damage: damageColumn(damage) },
  });
  return count > 0;
}
