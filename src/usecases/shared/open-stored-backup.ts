import type { BackupRow } from '../../catalog/backups.js';
import { findSealedText } from '../../catalog/secrets.js';
import { findWrappingKey } from '../../catalog/wrapping-keys.js';
import { TidemarkError } from '../../domain/errors.js';
import { destinationSecretSchema } from '../../domain/secrets.js';
import { masterKeyOpener } from '../../keys/key-opener.js';
import { openText, secretContext } from '../../keys/seal.js';
import type { Destination, DestinationConfig } from '../../storage/destination.js';
import { openDestination } from '../../storage/open-destination.js';
import type { VerifiedManifest } from '../../storage/read-manifest.js';
import { readManifest } from '../../storage/read-manifest.js';
import type { UsecaseContext } from '../context.js';
import { assertRestorable } from './assert-restorable.js';

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
  const destination = openDestination(await configOf(context, backup.destination), {
    directoryRoots: context.options.directoryRoots,
  });
  try {
    const openKey = masterKeyOpener(
      context.masterKey,
      async (keyId) => (await findWrappingKey(context.catalog.prisma, keyId))?.sealed ?? null,
    );
    const { databaseId, id: backupId } = backup;
    const verified = await readManifest({ destination, databaseId, backupId, openKey, signal });
    return { ...verified, destination };
  } catch (error) {
    destination.close();
    throw error;
  }
}

async function configOf(context: UsecaseContext, row: BackupRow['destination']): Promise<DestinationConfig> {
  if (row.type === 'directory') return { type: 'directory', path: row.path ?? '', prefix: row.prefix };
  if (row.endpoint !== null) await context.options.assertHostAllowed(new URL(row.endpoint).hostname);
  const sealed = row.secretId === null ? null : await findSealedText(context.catalog.prisma, row.secretId);
  if (row.secretId === null || sealed === null) {
    throw new TidemarkError('secret_missing', `The stored credentials of destination ${row.id} are gone.`, {
      object: row.id,
    });
  }
  const text = await openText(context.masterKey, sealed, secretContext(row.secretId));
  return {
    type: 's3',
    endpoint: row.endpoint,
    bucket: row.bucket ?? '',
    region: row.region ?? 'us-east-1',
    prefix: row.prefix,
    ...destinationSecretSchema.parse(JSON.parse(text)),
    forcePathStyle: row.forcePathStyle,
  };
}
