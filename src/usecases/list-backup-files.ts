import type { BackupFiles } from '../domain/schemas/backups.js';
import { backupOwner, backupPrefix } from '../storage/layout.js';
import type { Principal, UsecaseContext } from './context.js';
import { requireBackup } from './get-backup.js';
import { openStoredBackup } from './shared/open-stored-backup.js';

/** The files of a completed backup as its authenticated manifest lists them. Reads the destination, within 30 s. */
export async function listBackupFiles(
  context: UsecaseContext,
  principal: Principal,
  input: { backupId: string },
): Promise<BackupFiles> {
  const backup = await requireBackup(context, principal, input.backupId);
  const { manifest, destination } = await openStoredBackup(context, backup, AbortSignal.timeout(30_000));
  destination.close();
  const items = manifest.artifacts.map((artifact) => ({
    name: artifact.name,
    role: artifact.role,
    bytes: artifact.bytes,
    storedBytes: artifact.objects.reduce((sum, object) => sum + object.storedBytes, 0),
    sha256: artifact.sha256,
    tool: artifact.tool,
    objects: artifact.objects.length,
  }));
  const folder = backupPrefix(backupOwner(backup), backup.id);
  return { location: `${destination.location}/${folder}`, items };
}
