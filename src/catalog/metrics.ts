import type { CatalogQueries } from './client.js';

export type RunCounts = { status: string; kind: string; count: number }[];
export type LastBackup = {
  databaseId: string;
  completedAt: Date;
  seconds: number;
  bytes: number;
  storedBytes: number;
};

/** Backups by kind and status; deleted ones not counted. */
export async function countBackups(db: CatalogQueries): Promise<RunCounts> {
  const rows = await db.backup.groupBy({ by: ['status', 'kind'], where: { deletedAt: null }, _count: { _all: true } });
  return rows.map((row) => ({ status: row.status, kind: row.kind, count: row._count._all }));
}

/** Restores by status. */
export async function countRestores(db: CatalogQueries): Promise<{ status: string; count: number }[]> {
  const rows = await db.restore.groupBy({ by: ['status'], _count: { _all: true } });
  return rows.map((row) => ({ status: row.status, count: row._count._all }));
}

/** The newest completed backup of every registered database. */
export async function findLastBackups(db: CatalogQueries): Promise<LastBackup[]> {
  const rows = await db.backup.findMany({
    where: { status: 'completed', deletedAt: null, completedAt: { not: null }, database: { deletedAt: null } },
    orderBy: [{ databaseId: 'asc' }, { completedAt: 'desc' }],
    distinct: ['databaseId'],
    select: { databaseId: true, completedAt: true, startedAt: true, bytes: true, storedBytes: true },
  });
  return rows.flatMap(({ databaseId, completedAt, startedAt, bytes, storedBytes }) =>
    completedAt === null
      ? []
      : [
          {
            databaseId,
            completedAt,
            seconds: startedAt === null ? 0 : (completedAt.getTime() - startedAt.getTime()) / 1000,
            bytes: Number(bytes ?? 0n),
            storedBytes: Number(storedBytes ?? 0n),
          },
        ],
  );
}

/** Runs that wait to be taken up, and since when the oldest does. */
export async function findQueue(
  db: CatalogQueries,
): Promise<{ type: 'backup' | 'restore'; pending: number; oldest: Date | null }[]> {
  const where = { status: 'pending' };
  const shape = { where, _count: { _all: true }, _min: { createdAt: true } } as const;
  const [backups, restores] = [await db.backup.aggregate(shape), await db.restore.aggregate(shape)];
  return [
    { type: 'backup', pending: backups._count._all, oldest: backups._min.createdAt },
    { type: 'restore', pending: restores._count._all, oldest: restores._min.createdAt },
  ];
}
