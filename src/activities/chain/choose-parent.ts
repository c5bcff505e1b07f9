import { findParent } from '../../catalog/runs/chain-run.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import type { ParentBackup } from '../../engines/chain-engine.js';
import { backupOwner } from '../../storage/layout.js';
import type { Manifest } from '../../storage/manifest.js';
import { readArtifact } from '../../storage/read-artifact.js';
import type { VerifiedManifest } from '../../storage/read-manifest.js';
import { readManifest } from '../../storage/read-manifest.js';
import { keyOpener } from '../open-run.js';
import type { OpenedAttempt } from '../run-attempt.js';

export type ChosenParent = ParentBackup & { readonly manifest: Manifest };

/** The parent of an incremental, read from the store. Throws `incremental_impossible` when there is none that one could build on. */
export async function chooseParent(work: OpenedAttempt, chainId: string, epoch: number | null): Promise<ChosenParent> {
  const { deps, run, destination, step } = work;
  const row = await findParent(deps.catalog, chainId, run.destinationId);
  if (row === null) throw impossible('the chain has no completed full.');
  if (row.epoch !== epoch) {
    throw impossible(`the log archive was broken or begun after ${row.id}; a full begins the new stretch.`);
  }
  const verified = await refuseDamaged(row.id, () =>
    readManifest({
      destination,
      ownerId: backupOwner(run),
      backupId: row.id,
      openKey: keyOpener(deps),
      signal: step.signal,
    }),
  );
  const { manifest } = verified;
  const { engine, identity, version, major } = manifest.source;
  return {
    backupId: row.id,
    server: { engine, identity, version, major },
    startPosition: manifest.startPosition,
    endPosition: manifest.endPosition,
    manifest,
    open: (name) => refuseDamaged(row.id, () => readSidecar(work, verified, name)),
  };
}

async function readSidecar(work: OpenedAttempt, { manifest, key }: VerifiedManifest, name: string): Promise<Buffer> {
  const artifact = manifest.artifacts.find((one) => one.name === name);
  if (artifact === undefined) {
    throw new TidemarkError('object_missing', `The backup ${manifest.backupId} has no ${name}.`, { object: name });
  }
  const context = { installation: manifest.installationId, backup: manifest.backupId };
  const { destination, step } = work;
  const chunks: Buffer[] = [];
  const stream = await readArtifact({ destination, artifact, key, context, signal: step.signal });
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A parent that cannot be read is as none: a full is taken. A store that does not answer just now is another matter. */
async function refuseDamaged<T>(backupId: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!isTidemarkError(error) || !/^(object|manifest|key)_/.test(error.code)) throw error;
    throw impossible(`its parent ${backupId} cannot be read. ${error.message}`);
  }
}

function impossible(why: string): TidemarkError {
  return new TidemarkError('incremental_impossible', `An incremental backup is not possible: ${why}`);
}
