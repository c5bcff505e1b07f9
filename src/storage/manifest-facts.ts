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
  /** Of a full or incremental: names of the databases that it holds. */
  readonly databases: readonly string[] | null;
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
    databases: chain?.databases ?? null,
    fingerprintUnavailable: manifest.fingerprintUnavailable,
    manifestKey: manifestKey(manifestOwner(manifest), manifest.backupId),
    takenAt: notBefore(manifest.takenAt),
    chain:
      chain === undefined
        ? null
        : { parentId: manifest.parentId, startPosition: manifest.startPosition, epoch: chain.epoch },
  };
}

/**
 * A time in whole milliseconds, as rows keep them, never before the time itself: cut off, it would be a moment before the end of the backup, which
 * the backup cannot be recovered to although the window would begin there.
 */
function notBefore(time: string): Date {
  const finer = /\.\d{3}(\d+)/.exec(time)?.[1] ?? '';
  return new Date(Date.parse(time) + (/[1-9]/.test(finer) ? 1 : 0));
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
