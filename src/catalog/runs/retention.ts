import type { Catalog } from '../client.js';

export type RetentionRule = { readonly count?: number | undefined; readonly days?: number | undefined };
type Candidate = { readonly id: string; readonly takenAt: Date };

/**
 * Which of a plan's completed backups go, given newest first. Each limit that is set applies; the newest one always stays, because
 * a plan must not lose its last restorable backup to a rule about the past.
 */
export function selectExpired(backups: readonly Candidate[], rule: RetentionRule, now: Date): string[] {
  const { count, days } = rule;
  return backups
    .filter((backup, index) => {
      if (index === 0) return false;
      if (count !== undefined && index >= count) return true;
      return days !== undefined && now.getTime() - backup.takenAt.getTime() > days * 86_400_000;
    })
    .map((backup) => backup.id);
}

/**
 * Marks what the plan's retention no longer keeps and returns every marked backup that still has to be removed from the store.
 * A backup that a restore is reading stays until the next time.
 */
export async function applyRetention(catalog: Catalog, planId: string, now: Date = new Date()): Promise<string[]> {
  const plan = await catalog.prisma.plan.findUnique({ where: { id: planId } });
  const rule = (plan?.retention ?? null) as RetentionRule | null;
  if (plan === null || plan.deletedAt !== null || rule === null) return [];
  const kept = await catalog.prisma.backup.findMany({
    where: { planId, status: 'completed', deletedAt: null, deleteRequestedAt: null },
    select: { id: true, takenAt: true, createdAt: true },
    orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
  });
  const expired = selectExpired(
    kept.map((row) => ({ id: row.id, takenAt: row.takenAt ?? row.createdAt })),
    rule,
    now,
  );
  const marked: string[] = [];
  for (const id of expired) {
    const { count } = await catalog.prisma.backup.updateMany({
      where: { id, deleteRequestedAt: null, restores: { none: { status: { in: ['pending', 'in_progress'] } } } },
      data: { deleteRequestedAt: now },
    });
    if (count === 1) marked.push(id);
  }
  return marked;
}
