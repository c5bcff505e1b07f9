import type { BackupRow } from '../../catalog/backups.js';
import { findWrappingKey } from '../../catalog/wrapping-keys.js';
import { masterKeyOpener } from '../../keys/key-opener.js';
import type { Destination } from '../../storage/destination.js';
import { backupOwner } from '../../storage/layout.js';
import type { VerifiedManifest } from '../../storage/read-manifest.js';
import { readManifest } from '../../storage/read-manifest.js';
import type { UsecaseContext } from '../context.js';
import { assertRestorable } from './assert-restorable.js';
import { openStore } from './open-store.js';

export type StoredBackup = VerifiedManifest & { readonly destination: Destination };

/**
 * Opens the destination of a completed backup and reads its authenticated manifest. The caller closes the destination. Throws
 * `backup_not_restorable`, `destination_deleted`, `destination_disabled`, or what reading the manifest throws.
 */
export async function openStoredBackup(
  context: UsecaseContext,
  backup: BackupRow,
  signal: AbortSignal,
): Promise<StoredBackup> {
  assertRestorable(backup);
  const destination = await openStore(context, backup.destination);
  try {
    const openKey = masterKeyOpener(
      context.masterKey,
      async (keyId) => (await findWrappingKey(context.catalog.prisma, keyId))?.sealed ?? null,
    );
    const ownerId = backupOwner(backup);
    const verified = await readManifest({ destination, ownerId, backupId: backup.id, openKey, signal });
    return { ...verified, destination };
  } catch (error) {
    destination.close();
    throw error;
  }
}
