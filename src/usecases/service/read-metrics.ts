import type { Catalog } from '../../catalog/client.js';
import { countBackups, countRestores, findLastBackups, findQueue } from '../../catalog/metrics.js';

/** The figures of the whole installation for `/metrics`: ids and numbers only, never a name. */
export async function readMetrics(catalog: Catalog) {
  const db = catalog.prisma;
  const [backups, restores, lastBackups, queue] = await Promise.all([
    countBackups(db),
    countRestores(db),
    findLastBackups(db),
    findQueue(db),
  ]);
  return { backups, restores, lastBackups, queue };
}

export type InstallationMetrics = Awaited<ReturnType<typeof readMetrics>>;
