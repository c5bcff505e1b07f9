import { TidemarkError } from '../domain/errors.js';
import type { RecoveryPlan } from '../domain/recovery-plan.js';
import type { RecoverableBackup } from '../engines/chain-engine.js';
import type { AssembledFile } from '../storage/assemble-log-files.js';
import { assembleLogFiles } from '../storage/assemble-log-files.js';
import type { Destination } from '../storage/destination.js';
import { readArtifact, readPackedArtifact } from '../storage/read-artifact.js';
import { coverRange } from '../storage/read-log-slice.js';
import type { VerifiedManifest } from '../storage/read-manifest.js';
import type { StoredSlice } from '../storage/slice-record.js';
import type { LogStore } from './resume-log.js';

/** A full or incremental as recovery reads it. Throws `backup_not_restorable` for a backup that is none. */
export function recoverableBackup(destination: Destination, { manifest, key }: VerifiedManifest): RecoverableBackup {
  const { backupId, kind, chain, startPosition, endPosition, installationId } = manifest;
  if (chain === undefined || (kind !== 'full' && kind !== 'incremental')) {
    throw new TidemarkError('backup_not_restorable', `Backup ${backupId} is not one of a chain.`, { object: backupId });
  }
  const reading = { destination, key, context: { installation: installationId, backup: backupId } };
  return {
    backupId,
    kind,
    startPosition,
    endPosition,
    cluster: chain.cluster,
    parts: manifest.artifacts
      .filter((artifact) => artifact.role !== 'fingerprint')
      .map((artifact) => ({
        name: artifact.name,
        open: (signal) => readArtifact({ ...reading, artifact, signal }),
        openPacked: (signal) => readPackedArtifact({ ...reading, artifact, signal }),
      })),
  };
}

/** Puts the log files of a plan into a folder, every byte verified. Throws `log_gap` when the slices do not hold the whole range. */
export async function assembleRange(options: {
  readonly store: LogStore;
  readonly log: NonNullable<RecoveryPlan['log']>;
  /** Authenticated slices that touch the range. */
  readonly slices: readonly StoredSlice[];
  readonly dir: string;
  readonly onBytes?: (bytes: number) => void;
}): Promise<AssembledFile[]> {
  const { store, log, dir } = options;
  const numbered = options.slices.map((slice) => ({ ...slice, fromSeq: slice.record.fromSeq, seq: slice.record.seq }));
  // A slice that was put together since the plan was made may begin before the range and end behind it.
  const from = Math.min(log.fromSeq, ...numbered.map((slice) => slice.fromSeq));
  const chosen = coverRange(numbered, from, log.toSeq);
  if (chosen === null) {
    throw new TidemarkError(
      'log_gap',
      `The log slices ${log.fromSeq} to ${log.toSeq} of epoch ${log.epoch} are not all there any more.`,
    );
  }
  return await assembleLogFiles({
    ...store,
    slices: chosen,
    dir,
    cutAt: log.cutAt,
    ...(options.onBytes === undefined ? {} : { onBytes: options.onBytes }),
  });
}
