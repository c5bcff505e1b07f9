import { newId } from '../../domain/ids.js';
import type { Catalog, CatalogQueries } from '../client.js';
import { toJson } from './run-json.js';

export type ScheduledClaim =
  | { readonly state: 'claimed'; readonly backupId: string; readonly databaseName: string; readonly planName: string }
  | { readonly state: 'skipped'; readonly backupId: string | null; readonly reason: string };

/**
 * Turns one firing of a plan's schedule into a row: `pending` when its database is free, else `skipped` naming the run in the way.
 * The same firing asked again (a lost answer) gives the same row: the transaction holds a lock on the plan while it looks.
 */
export async function claimScheduledBackup(
  catalog: Catalog,
  input: { planId: string; scheduledFor: Date },
): Promise<ScheduledClaim> {
  return await catalog.prisma.$transaction(async (tx) => {
    await tx.$queryRaw`select id from "Plan" where id = ${input.planId} for update`;
    const plan = await tx.plan.findUnique({
      where: { id: input.planId },
      include: { database: true, destination: true },
    });
    if (plan === null || plan.deletedAt !== null || plan.database.deletedAt !== null) {
      return { state: 'skipped', backupId: null, reason: 'the plan is gone' };
    }
    const names = { databaseName: plan.database.name, planName: plan.name };
    const before = await tx.backup.findFirst({
      where: { planId: plan.id, trigger: 'schedule', scheduledFor: input.scheduledFor },
    });
    if (before !== null) {
      if (before.status === 'skipped') {
        return { state: 'skipped', backupId: before.id, reason: 'another run was in the way' };
      }
      return { state: 'claimed', backupId: before.id, ...names };
    }
    if (plan.status !== 'active') return { state: 'skipped', backupId: null, reason: 'the plan is paused' };

    // The unique key decides between two claims at once; asking first only gives the skipped row its reason.
    await tx.$queryRaw`select id from "Database" where id = ${plan.databaseId} for update`;
    const obstacle = await findObstacle(tx, plan);
    const row = {
      id: newId('backup'),
      kind: 'dump',
      databaseId: plan.databaseId,
      planId: plan.id,
      destinationId: plan.destinationId,
      keyId: plan.encryption ? plan.keyId : null,
      trigger: 'schedule',
      scheduledFor: input.scheduledFor,
    };
    if (obstacle !== null) {
      const { reason, blockedBy, code } = obstacle;
      await tx.backup.create({
        data: {
          ...row,
          status: 'skipped',
          blockedBy,
          error: toJson({ code, message: reason }),
          completedAt: new Date(),
        },
      });
      return { state: 'skipped', backupId: row.id, reason };
    }
    await tx.backup.create({ data: { ...row, activeKey: plan.databaseId } });
    return { state: 'claimed', backupId: row.id, ...names };
  });
}

/** Why something that was due does not run, and the run in its way. */
export type Obstacle = { reason: string; blockedBy: string | null; code: string };

async function findObstacle(
  tx: CatalogQueries,
  plan: {
    databaseId: string;
    destination: { id: string; name: string; enabled: boolean; deletedAt: Date | null };
  },
): Promise<Obstacle | null> {
  const running = await tx.backup.findFirst({ where: { activeKey: plan.databaseId } });
  if (running !== null) {
    return {
      reason: `Backup ${running.id} of this database was still ${running.status.replace('_', ' ')}.`,
      blockedBy: running.id,
      code: 'run_in_progress',
    };
  }
  return destinationObstacle(plan.destination);
}

/** Why nothing may be written to a destination just now, or null. */
export function destinationObstacle(destination: {
  readonly name: string;
  readonly enabled: boolean;
  readonly deletedAt: Date | null;
}): (Obstacle & { code: 'destination_deleted' | 'destination_disabled' }) | null {
  if (destination.deletedAt !== null) {
    return { reason: `The destination ${destination.name} was deleted.`, blockedBy: null, code: 'destination_deleted' };
  }
  if (!destination.enabled) {
    return {
      reason: `The destination ${destination.name} is disabled.`,
      blockedBy: null,
      code: 'destination_disabled',
    };
  }
  return null;
}
