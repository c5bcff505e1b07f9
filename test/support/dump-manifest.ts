import { encryptionSuite } from '../../src/keys/encryption-sdk.js';
import type { WrappingKey } from '../../src/keys/types.js';
import type { ManifestContent } from '../../src/storage/write-manifest.js';

type Facts = Pick<
  ManifestContent,
  | 'installationId'
  | 'backupId'
  | 'attemptId'
  | 'databaseId'
  | 'source'
  | 'startedAt'
  | 'takenAt'
  | 'fingerprint'
  | 'fingerprintUnavailable'
> & {
  readonly position: ManifestContent['startPosition'];
  readonly artifacts: readonly ManifestContent['artifacts'][number][];
  /** Null: not encrypted. */
  readonly key: WrappingKey | null;
  readonly sealedKey: string;
};

/** What the manifest of a dump says that belongs to no plan. */
export function dumpManifest({ position, artifacts, key, sealedKey, ...facts }: Facts): ManifestContent {
  return {
    format: 'tidemark-manifest-1',
    ...facts,
    planId: null,
    kind: 'dump',
    parentId: null,
    label: null,
    toolVersion: facts.source.version,
    completedAt: new Date().toISOString(),
    startPosition: position,
    endPosition: position,
    artifacts: [...artifacts],
    encryption: key === null ? null : { suite: encryptionSuite, keyId: key.id, sealedKey },
  };
}
