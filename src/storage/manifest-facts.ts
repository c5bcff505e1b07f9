import type { LogPosition } from '../domain/positions.js';
import { manifestKey } from './layout.js';
import type { Manifest } from './manifest.js';
import { manifestOwner } from './manifest.js';

/** What the catalog notes of a completed backup, as its manifest says it. */
export type ManifestFacts = {
  readonly bytes: number;
  readonly storedBytes: number;
  readonly position: LogPosition;
  readonly serverVersion: string;
  readonly content: { readonly tables: number; readonly rows: string } | null;
  readonly fingerprintUnavailable: string | null;
  readonly manifestKey: string;
  readonly takenAt: Date;
  /** Only of fulls and incrementals. */
  readonly chain: {
    readonly parentId: string | null;
    readonly startPosition: LogPosition;
    readonly epoch: number | null;
  } | null;
};

export function factsOf(manifest: Manifest): ManifestFacts {
  const { fingerprint, chain } = manifest;
  return {
    ...sizesOf(manifest),
    position: manifest.endPosition,
    serverVersion: manifest.source.version,
    content: fingerprint === null ? null : { tables: fingerprint.tables, rows: fingerprint.rows },
    fingerprintUnavailable: manifest.fingerprintUnavailable,
    manifestKey: manifestKey(manifestOwner(manifest), manifest.backupId),
    takenAt: new Date(manifest.takenAt),
    chain:
      chain === undefined
        ? null
        : { parentId: manifest.parentId, startPosition: manifest.startPosition, epoch: chain.epoch },
  };
}

/** Plain bytes of the dump or copy itself; stored bytes of everything. */
export function sizesOf(manifest: Manifest): { bytes: number; storedBytes: number } {
  let bytes = 0;
  let storedBytes = 0;
  for (const artifact of manifest.artifacts) {
    if (artifact.role === 'dump' || artifact.role === 'base') bytes += artifact.bytes;
    for (const object of artifact.objects) storedBytes += object.storedBytes;
  }
  return { bytes, storedBytes };
}
