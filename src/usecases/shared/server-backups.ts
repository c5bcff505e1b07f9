import type { BackupRow } from '../../catalog/backups.js';
import { findCompletedOfChain, findOwnersOnServer } from '../../catalog/chains.js';
import type { CatalogQueries } from '../../catalog/client.js';
import { TidemarkError } from '../../domain/errors.js';
import type { Principal, UsecaseContext } from '../context.js';

/** A full or incremental is shared by every database of its chain: only the policy's owner may stop or remove it. */
export function assertMayChange(principal: Principal, backup: BackupRow): void {
  if (principal.role === 'admin' || backup.policy === null || backup.policy.ownerId === principal.userId) return;
  throw new TidemarkError(
    'forbidden',
    `The backup ${backup.id} holds a whole server under a policy of another user; its owner or an administrator decides about it.`,
    { object: backup.id },
  );
}

/** A full or incremental holds a whole server: who downloads it gets every database of it. Throws `forbidden`. */
export async function assertMayDownload(
  context: UsecaseContext,
  principal: Principal,
  backup: BackupRow,
): Promise<void> {
  if (principal.role === 'admin' || backup.serverId === null) return;
  const owners = await findOwnersOnServer(context.catalog.prisma, backup.serverId);
  if (owners.every((ownerId) => ownerId === principal.userId)) return;
  throw new TidemarkError(
    'forbidden',
    `The backup ${backup.id} holds a whole server on which other users have databases too; only an administrator may download it. Restore your database from it instead.`,
    { object: backup.id },
  );
}

/** Ids of completed incrementals that need this backup, directly or through another one; the farthest first. */
export async function findDependents(queries: CatalogQueries, backup: BackupRow): Promise<string[]> {
  if (backup.chainId === null) return [];
  const rows = await findCompletedOfChain(queries, backup.chainId);
  const found: string[] = [];
  for (let parents = [backup.id]; parents.length > 0; ) {
    const children = rows.filter(
      ({ id, parentId }) => parentId !== null && parents.includes(parentId) && id !== backup.id,
    );
    parents = children.map(({ id }) => id).filter((id) => !found.includes(id));
    found.unshift(...parents);
  }
  return found;
}
