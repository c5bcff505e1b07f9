import type { BackupRow } from '../catalog/backups.js';
import { findBackup } from '../catalog/backups.js';
import type { BackupResource } from '../domain/schemas/backups.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentBackup } from './present/present-backup.js';
import { notFound } from './shared/refusals.js';

/** The row of a backup that the principal may see; `not_found` otherwise. */
export async function requireBackup(context: UsecaseContext, principal: Principal, id: string): Promise<BackupRow> {
  const row = await findBackup(context.catalog.prisma, principal, id);
  if (row === null) throw notFound('backup', id);
  return row;
}

export async function getBackup(
  context: UsecaseContext,
  principal: Principal,
  input: { backupId: string },
): Promise<BackupResource> {
  return presentBackup(await requireBackup(context, principal, input.backupId));
}
