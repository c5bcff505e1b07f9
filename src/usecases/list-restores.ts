import { findRestores } from '../catalog/restores.js';
import type { Page } from '../domain/schemas/common.js';
import type { ListRestoresQuery, RestoreResource } from '../domain/schemas/restores.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireBackup } from './get-backup.js';
import { requirePlan } from './get-plan.js';
import { presentRestore } from './present/present-restore.js';

/** Restores, newest first. */
export async function listRestores(
  context: UsecaseContext,
  principal: Principal,
  query: ListRestoresQuery,
): Promise<Page<RestoreResource>> {
  const { rows, nextCursor } = await findRestores(context.catalog.prisma, principal, query);
  return { items: rows.map(presentRestore), nextCursor };
}

/** The restores of one backup, newest first; `not_found` when there is no such backup. */
export async function listRestoresOfBackup(
  context: UsecaseContext,
  principal: Principal,
  input: { backupId: string; query: { limit: number; cursor?: string | undefined } },
): Promise<Page<RestoreResource>> {
  await requireBackup(context, principal, input.backupId);
  return await listRestores(context, principal, { ...input.query, backupId: input.backupId });
}

/** The restores of all backups of a plan, newest first; `not_found` when there is no such plan. */
export async function listRestoresOfPlan(
  context: UsecaseContext,
  principal: Principal,
  input: { planId: string; query: { limit: number; cursor?: string | undefined } },
): Promise<Page<RestoreResource>> {
  await requirePlan(context, principal, input.planId);
  return await listRestores(context, principal, { ...input.query, planId: input.planId });
}
