import type { Catalog } from '../client.js';

/**
 * The wrapping keys whose sealing a destination may not know yet: those of its backups, and the installation's own, once the master key
 * has been rotated; none before, since each manifest carries the sealing of its day.
 */
export async function findResealedKeys(
  catalog: Catalog,
  destinationId: string,
  installationKeyId: string,
): Promise<{ id: string; sealed: string }[]> {
  const rotation = await catalog.prisma.auditEvent.findFirst({ where: { action: 'master_key.rotated' } });
  if (rotation === null) return [];
  return await catalog.prisma.wrappingKey.findMany({
    where: { OR: [{ id: installationKeyId }, { backups: { some: { destinationId, deletedAt: null } } }] },
    select: { id: true, sealed: true },
    orderBy: { id: 'asc' },
  });
}
