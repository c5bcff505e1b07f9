/** One server under one policy, as the workers of a bench are told of it: plain JSON. */
import { newId } from '../src/domain/ids.js';
import type { EngineServer } from '../src/embedded/engine-server.js';
import type { DatabaseConnection } from '../src/engines/engine.js';
import { newMasterKey } from '../src/keys/master-key.js';
import { createWrappingKey } from '../src/keys/wrapping-key.js';
import { enginesRoot } from '../src/platform/installed.js';
import { connectionTo } from '../test/support/connection-to.js';
import type { S3DestinationConfig } from '../test/support/start-s3-store.js';

export type ChainSite = {
  readonly connection: DatabaseConnection;
  readonly destination: S3DestinationConfig;
  readonly toolRoots: readonly string[];
  /** The wrapping key, base64, and the same sealed. */
  readonly key: { readonly id: string; readonly bytes: string; readonly sealed: string };
  readonly installationId: string;
  readonly serverId: string;
  readonly policyId: string;
  readonly chainId: string;
  readonly databaseId: string;
  readonly slot: string;
};

export async function makeSite(
  server: EngineServer,
  destination: S3DestinationConfig,
  database: string,
): Promise<ChainSite> {
  const { key, sealed } = await createWrappingKey(newMasterKey());
  const chainId = newId('chain');
  return {
    connection: connectionTo(server, database),
    destination,
    toolRoots: [enginesRoot(process.env)],
    key: { id: key.id, bytes: Buffer.from(key.bytes).toString('base64'), sealed },
    installationId: newId('installation'),
    serverId: newId('server'),
    policyId: newId('policy'),
    chainId,
    databaseId: newId('database'),
    slot: `tidemark_${chainId.slice(4)}`,
  };
}
