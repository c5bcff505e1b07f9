import type { RestoreRun } from '../catalog/runs/restore-run.js';
import { raiseRestoreToken, readRestoreRun, writeRestoreFacts } from '../catalog/runs/restore-run.js';
import { TidemarkError } from '../domain/errors.js';
import type { Fingerprint } from '../domain/fingerprint.js';
import { fingerprintSchema } from '../domain/fingerprint.js';
import type { RestoreSession } from '../engines/engine.js';
import { getEngine } from '../engines/registry.js';
import type { WrappingKey } from '../keys/types.js';
import type { Destination } from '../storage/destination.js';
import { backupOwner } from '../storage/layout.js';
import type { Artifact, Manifest } from '../storage/manifest.js';
import { readArtifact } from '../storage/read-artifact.js';
import { readManifest } from '../storage/read-manifest.js';
import type { ActivityDeps } from './deps.js';
import { engineContext, keyOpener, openStore, targetConnectionOf } from './open-run.js';
import { ProgressMeter, shownPercent } from './progress.js';
import type { Step } from './run-step.js';

/** A backup opened for reading. */
export type BackupSource = {
  readonly manifest: Manifest;
  readonly destination: Destination;
  readonly key: WrappingKey | null;
};

/** Which share of the whole each step of a restore covers, in percent. Guesses, but in order, so that percent never goes back. */
export const shares = { verify: [0, 15], load: [15, 75], compare: [75, 95] } as const;

/** Begins a step of a restore: raises the token, so that an earlier try of the same restore is refused and its sessions are ended. */
export async function beginRestoreStep(
  deps: ActivityDeps,
  restoreId: string,
): Promise<{ run: RestoreRun; token: number }> {
  const start = await raiseRestoreToken(deps.catalog, restoreId);
  if (start.state === 'settled') {
    throw new TidemarkError(
      'fenced',
      `The restore ${restoreId} is settled (${start.status}); this step is not needed.`,
    );
  }
  return { run: await readRestoreRun(deps.catalog, restoreId), token: start.token };
}

export async function withSource<T>(
  deps: ActivityDeps,
  step: Step,
  run: RestoreRun,
  act: (source: BackupSource) => Promise<T>,
): Promise<T> {
  const { backup } = run;
  if (backup.status !== 'completed' || backup.deletedAt !== null || backup.deleteRequestedAt !== null) {
    const state = backup.deleteRequestedAt === null ? backup.status : 'deleted';
    throw new TidemarkError('backup_not_restorable', `Backup ${backup.id} is ${state}.`, { object: backup.id });
  }
  const destination = await openStore(deps, backup.destination);
  try {
    const { manifest, key } = await readManifest({
      destination,
      ownerId: backupOwner(backup),
      backupId: backup.id,
      openKey: keyOpener(deps),
      signal: step.signal,
    });
    return await act({ manifest, destination, key });
  } finally {
    destination.close();
  }
}

/** Opens the target server. The token is the attempt's number: sessions of lower ones are ended by the engine. */
export async function withTarget<T>(
  deps: ActivityDeps,
  step: Step,
  run: RestoreRun,
  token: number,
  act: (session: RestoreSession) => Promise<T>,
): Promise<T> {
  const connection = await targetConnectionOf(deps, run);
  const engine = getEngine(connection.engine);
  const session = await engine.openRestore(connection, engineContext(deps, step), {
    restoreId: run.id,
    attempt: token,
  });
  try {
    return await act(session);
  } finally {
    await session.close();
  }
}

export function dumpParts(manifest: Manifest): Artifact[] {
  return manifest.artifacts.filter((artifact) => artifact.role === 'dump');
}

export function openArtifact(source: BackupSource, artifact: Artifact, signal: AbortSignal) {
  const { destination, key, manifest } = source;
  const context = { installation: manifest.installationId, backup: manifest.backupId };
  return readArtifact({ destination, artifact, key, context, signal });
}

/** The fingerprint of the source that the backup carries, or null with the manifest's own reason. */
export async function readSourceFingerprint(source: BackupSource, signal: AbortSignal): Promise<Fingerprint | null> {
  const name = source.manifest.fingerprint?.artifact;
  const artifact = source.manifest.artifacts.find((candidate) => candidate.name === name);
  if (artifact === undefined) return null;
  const chunks: Buffer[] = [];
  for await (const chunk of await openArtifact(source, artifact, signal)) chunks.push(chunk as Buffer);
  return fingerprintSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
}

export function restoreMeter(
  deps: ActivityDeps,
  step: Step,
  run: RestoreRun,
  token: number,
  share: keyof typeof shares,
): ProgressMeter {
  return new ProgressMeter({
    floor: shownPercent(run.progress),
    range: shares[share],
    write: (progress) => writeRestoreFacts(deps.catalog, run.id, token, { progress }),
    report: step.report,
  });
}
