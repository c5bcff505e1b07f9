/** Writes a small backup as a run does, for tests of what may happen to it afterwards. */
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { newId } from '../../src/domain/ids.js';
import type { MasterKey, WrappingKey } from '../../src/keys/types.js';
import { createWrappingKey } from '../../src/keys/wrapping-key.js';
import type { Destination } from '../../src/storage/destination.js';
import { attemptPrefix } from '../../src/storage/layout.js';
import type { Artifact, Manifest } from '../../src/storage/manifest.js';
import { writeArtifact } from '../../src/storage/write-artifact.js';
import { writeManifest } from '../../src/storage/write-manifest.js';
import { dumpManifest } from './dump-manifest.js';

const signal = new AbortController().signal;

export type StoredBackup = {
  readonly databaseId: string;
  /** The database: a dump lies under its name. */
  readonly ownerId: string;
  readonly backupId: string;
  readonly attemptId: string;
  readonly installationId: string;
  readonly manifest: Manifest;
  readonly artifact: Artifact;
  readonly key: WrappingKey;
  readonly sealedKey: string;
  readonly encrypted: boolean;
  /** The plain bytes of `dump.bin`. */
  readonly content: Buffer;
};

export type StoreBackupOptions = {
  readonly destination: Destination;
  readonly master: MasterKey;
  readonly encrypted?: boolean;
  readonly bytes?: number;
  /** Small, so that a few MiB become several objects. */
  readonly maxObjectBytes?: number;
  readonly databaseId?: string;
  readonly installationId?: string;
  readonly key?: { readonly key: WrappingKey; readonly sealed: string };
  readonly name?: string;
};

/** Half random, half text: neither all compressible nor not at all. */
export function mixedBytes(bytes: number): Buffer {
  const text = Buffer.alloc(Math.floor(bytes / 2), 'a row of text, as dumps hold them\n');
  return Buffer.concat([randomBytes(bytes - text.length), text]);
}

export async function storeBackup(options: StoreBackupOptions): Promise<StoredBackup> {
  const { destination, master } = options;
  const encrypted = options.encrypted ?? true;
  const databaseId = options.databaseId ?? newId('database');
  const installationId = options.installationId ?? newId('installation');
  const backupId = newId('backup');
  const attemptId = newId('attempt');
  const content = mixedBytes(options.bytes ?? 3_000_000);
  const { key, sealed } = options.key ?? (await createWrappingKey(master));
  const artifact = await writeArtifact({
    destination,
    keyPrefix: attemptPrefix(databaseId, backupId, attemptId),
    name: options.name ?? 'dump.bin',
    role: 'dump',
    tool: { name: 'cat', version: '1' },
    source: Readable.from([content]),
    key: encrypted ? key : null,
    context: { installation: installationId, backup: backupId },
    signal,
    maxObjectBytes: options.maxObjectBytes ?? 1024 * 1024,
  });
  const now = new Date().toISOString();
  const manifest = await writeManifest({
    destination,
    key,
    sealedKey: sealed,
    signal,
    manifest: dumpManifest({
      ...{ installationId, backupId, attemptId, databaseId, startedAt: now, takenAt: now },
      source: {
        engine: 'postgresql',
        identity: `pg:${createHash('sha256').update(databaseId).digest('hex').slice(0, 16)}`,
        version: '17.12',
        major: '17',
        host: '127.0.0.1',
        port: 5432,
        database: 'shop',
      },
      position: { lsn: '0/1' },
      artifacts: [artifact],
      fingerprint: null,
      fingerprintUnavailable: 'a test',
      key: encrypted ? key : null,
      sealedKey: sealed,
    }),
  });
  return {
    databaseId,
    ownerId: databaseId,
    backupId,
    attemptId,
    installationId,
    manifest,
    artifact,
    key,
    sealedKey: sealed,
    encrypted,
    content,
  };
}
