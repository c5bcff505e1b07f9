import type { BackupRun } from '../catalog/runs/backup-run.js';
import { completeBackup } from '../catalog/runs/backup-run.js';
import { isTidemarkError } from '../domain/errors.js';
import type { Destination } from '../storage/destination.js';
import { backupOwner } from '../storage/layout.js';
import type { Manifest } from '../storage/manifest.js';
import { factsOf, sizesOf } from '../storage/manifest-facts.js';
import { readManifest } from '../storage/read-manifest.js';
import { verifyArtifacts, verifySizes } from '../storage/verify-artifact.js';
import type { BackupSummary } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import { keyOpener } from './open-run.js';

/** The published manifest of a backup, authenticated; null when nothing was published. Throws `manifest_forged` rather than to ignore one. */
export async function findManifest(
  deps: ActivityDeps,
  run: { id: string; databaseId: string; serverId: string | null },
  destination: Destination,
  signal: AbortSignal,
): Promise<Manifest | null> {
  try {
    const { manifest } = await readManifest({
      destination,
      ownerId: backupOwner(run),
      backupId: run.id,
      openKey: keyOpener(deps),
      signal,
    });
    return manifest;
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'manifest_missing') return null;
    throw error;
  }
}

/**
 * A worker can die between the manifest and the catalog: then the backup exists and only its row does not know. The next attempt
 * finds the manifest, makes sure that every object is what it says, and completes the row with it.
 */
export async function adoptPublished(
  deps: ActivityDeps,
  run: BackupRun,
  token: number,
  destination: Destination,
  signal: AbortSignal,
  options: { readContents: boolean } = { readContents: true },
): Promise<BackupSummary | null> {
  const manifest = await findManifest(deps, run, destination, signal);
  if (manifest === null) return null;
  const { artifacts } = manifest;
  // At the least they are there: a manifest whose answer was given up can land after its attempt has removed its objects.
  if (options.readContents) await verifyArtifacts({ destination, artifacts, signal });
  else await verifySizes({ destination, artifacts, signal });
  await recordPublished(deps, manifest, token, null);
  deps.logger.info({ backupId: run.id, attemptId: manifest.attemptId }, 'adopted a published manifest');
  return summaryOf(manifest, destination, true);
}

/** Completes the row from its manifest, under the token. */
export async function recordPublished(
  deps: ActivityDeps,
  manifest: Manifest,
  token: number,
  databaseBytes: number | null,
  from: 'in_progress' | 'failed' = 'in_progress',
): Promise<void> {
  const { content, ...facts } = factsOf(manifest);
  const published = {
    ...facts,
    attemptId: manifest.attemptId,
    content: content === null || databaseBytes === null ? content : { ...content, databaseBytes },
  };
  await completeBackup(deps.catalog, manifest.backupId, token, published, from);
}

export function summaryOf(manifest: Manifest, destination: Destination, adopted: boolean): BackupSummary {
  return {
    ...sizesOf(manifest),
    tables: manifest.fingerprint?.tables ?? null,
    rows: manifest.fingerprint?.rows ?? null,
    location: destination.location,
    adopted,
  };
}
