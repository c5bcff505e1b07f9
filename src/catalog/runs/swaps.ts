import type { Catalog } from '../client.js';

/** Where a database is, as plans and restores name it. */
export type Place = { readonly host: string; readonly port: number; readonly database: string };

/**
 * The restore whose swap or revert puts other content into this database, at this moment or at any since `since`; null when there is
 * none. A dump that meets one would hold a mixture: on MySQL the tables come by another statement than the views and routines.
 */
export async function findSwapSince(catalog: Catalog, place: Place, since: Date): Promise<string | null> {
  const row = await catalog.prisma.swapJournal.findFirst({
    where: {
      OR: [{ state: 'open' }, { finishedAt: { gte: since } }],
      restore: { targetHost: place.host, targetPort: place.port, targetName: place.database },
    },
    select: { restoreId: true },
  });
  return row?.restoreId ?? null;
}
