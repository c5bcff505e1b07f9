import { newId } from '../src/domain/ids.js';
import type { ParentBackup } from '../src/engines/chain-engine.js';
import { getChainEngine } from '../src/engines/chain-registry.js';
import type { EngineContext } from '../src/engines/engine.js';
import { encryptionSuite } from '../src/keys/encryption-sdk.js';
import { wrappingKeyOpener } from '../src/keys/key-opener.js';
import { serverFingerprintName, takeServerBackup } from '../src/recovery/take-server-backup.js';
import type { Destination } from '../src/storage/destination.js';
import { attemptPrefix } from '../src/storage/layout.js';
import { openDestination } from '../src/storage/open-destination.js';
import { readArtifact } from '../src/storage/read-artifact.js';
import { readManifest } from '../src/storage/read-manifest.js';
import { writeManifest } from '../src/storage/write-manifest.js';
import type { ChainSite } from './chain-site.js';
import { cpuMsOf } from './cpu-time.js';

export type TakeFigures = {
  readonly backupId: string;
  readonly wallMs: number;
  /** User and system time of the worker and its tools. */
  readonly cpuMs: number;
  /** Of the parts, before compression. */
  readonly bytes: number;
  readonly storedBytes: number;
};

export const keyOf = ({ key }: ChainSite) => ({ id: key.id, bytes: Uint8Array.from(Buffer.from(key.bytes, 'base64')) });

/** A full, or an incremental on a parent: from the first connection to the published manifest. */
export async function takeBackup(
  site: ChainSite,
  context: EngineContext,
  wanted: { readonly parentId: string | null; readonly fingerprint: boolean },
): Promise<TakeFigures> {
  const { connection, serverId } = site;
  const { signal } = context;
  const cpuBefore = cpuMsOf('self');
  const started = performance.now();
  const startedAt = new Date().toISOString();
  const engine = getChainEngine(connection.engine);
  const destination = openDestination(site.destination);
  const key = keyOf(site);
  const [backupId, attemptId] = [newId('backup'), newId('attempt')];
  const parent = wanted.parentId === null ? null : await openParent(site, destination, wanted.parentId, signal);
  const session =
    parent === null
      ? await engine.openFull(connection, context, { label: 'bench', fingerprint: wanted.fingerprint })
      : await engine.openIncremental(connection, context, { label: 'bench', parent });
  try {
    const { artifacts, result, content } = await takeServerBackup({
      session,
      destination,
      keyPrefix: attemptPrefix(serverId, backupId, attemptId),
      key,
      context: { installation: site.installationId, backup: backupId },
      signal,
      onBytes: () => {},
    });
    await writeManifest({
      destination,
      key,
      sealedKey: site.key.sealed,
      signal,
      manifest: {
        format: 'tidemark-manifest-1',
        installationId: site.installationId,
        backupId,
        attemptId,
        databaseId: site.databaseId,
        planId: null,
        kind: parent === null ? 'full' : 'incremental',
        parentId: parent?.backupId ?? null,
        chain: {
          serverId,
          policyId: site.policyId,
          chainId: site.chainId,
          incremental: parent === null ? null : 'physical',
          epoch: 0,
          databases: [...session.databases],
          cluster: { ...result.cluster },
          sourceRole: session.sourceRole,
        },
        label: null,
        source: { ...session.server, host: connection.host, port: connection.port, database: connection.database },
        toolVersion: session.server.version,
        startedAt,
        takenAt: result.takenAt,
        completedAt: new Date().toISOString(),
        startPosition: result.startPosition,
        endPosition: result.endPosition,
        artifacts: [...artifacts],
        fingerprint: content === null ? null : { artifact: serverFingerprintName(0), ...content },
        fingerprintUnavailable: session.fingerprintUnavailable,
        encryption: { suite: encryptionSuite, keyId: key.id, sealedKey: site.key.sealed },
      },
    });
    const wallMs = performance.now() - started;
    const objects = artifacts.flatMap((artifact) => artifact.objects);
    return {
      backupId,
      wallMs,
      cpuMs: cpuMsOf('self') - cpuBefore,
      bytes: artifacts.reduce((sum, artifact) => sum + artifact.bytes, 0),
      storedBytes: objects.reduce((sum, object) => sum + object.storedBytes, 0),
    };
  } finally {
    await session.close();
    destination.close();
  }
}

async function openParent(
  site: ChainSite,
  destination: Destination,
  backupId: string,
  signal: AbortSignal,
): Promise<ParentBackup> {
  const openKey = wrappingKeyOpener([keyOf(site)]);
  const { manifest, key } = await readManifest({ destination, ownerId: site.serverId, backupId, openKey, signal });
  const { engine, identity, version, major } = manifest.source;
  return {
    backupId,
    server: { engine, identity, version, major },
    startPosition: manifest.startPosition,
    endPosition: manifest.endPosition,
    open: async (name) => {
      const artifact = manifest.artifacts.find((one) => one.name === name);
      if (artifact === undefined) throw new Error(`${backupId} has no ${name}`);
      const chunks: Buffer[] = [];
      const backup = { installation: manifest.installationId, backup: backupId };
      const stream = await readArtifact({ destination, artifact, key, context: backup, signal });
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
      return Buffer.concat(chunks);
    },
  };
}
