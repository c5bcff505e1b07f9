import { findBackups } from '../catalog/backups.js';
import type { BackupResource, ListBackupsQuery } from '../domain/schemas/backups.js';
import type { Page } from '../domain/schemas/common.js';
import type { Principal, UsecaseContext } from './context.js';
import { presentBackup } from './present/present-backup.js';

/** The history, newest first, also of deleted plans and databases. */
export async function listBackups(
  context: UsecaseContext,
  principal: Principal,
  query: ListBackupsQuery,
): Promise<Page<BackupResource>> {
  const { rows, nextCursor } = await findBackups(context.catalog.prisma, principal, query);
  return { items: rows.map(presentBackup), nextCursor };
}
