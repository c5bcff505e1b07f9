import type { BackupRun } from '../catalog/runs/backup-run.js';
import { keepInstallationKey } from '../catalog/runs/installation-key.js';
import type { RestoreRun } from '../catalog/runs/restore-run.js';
import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import { databaseSecretSchema, destinationSecretSchema } from '../domain/secrets.js';
import { storeHosts } from '../domain/store-hosts.js';
import type { DatabaseConnection, EngineContext, TlsOptions } from '../engines/engine.js';
import { createInstallationKey, installationKeyId } from '../keys/installation-key.js';
import type { KeyOpener } from '../keys/key-opener.js';
import { masterKeyOpener } from '../keys/key-opener.js';
import { openText, secretContext } from '../keys/seal.js';
import type { WrappingKey } from '../keys/types.js';
import { openWrappingKey } from '../keys/wrapping-key.js';
import type { Destination, DestinationConfig } from '../storage/destination.js';
import { openDestination } from '../storage/open-destination.js';
import type { ActivityDeps } from './deps.js';
import type { Step } from './run-step.js';

/** From rows and sealed secrets to open connections; credentials never leave the process from here. */

export type DatabaseRow = BackupRun['database'];
export type DestinationRow = BackupRun['destination'];

async function openSecret(deps: ActivityDeps, secretId: string, ownerId: string): Promise<unknown> {
  const secret = await deps.catalog.prisma.secret.findUnique({ where: { id: secretId } });
  if (secret === null) {
    throw new TidemarkError('secret_missing', `The stored credentials of ${ownerId} are gone.`, { object: ownerId });
  }
  return JSON.parse(await openText(deps.masterKey, secret.sealed, secretContext(secret.id)));
}

/** What a connection is made from. */
export type Address = Pick<
  DatabaseRow,
  'id' | 'engine' | 'host' | 'port' | 'username' | 'database' | 'tls' | 'secretId'
>;

export async function connectionOf(deps: ActivityDeps, row: Address): Promise<DatabaseConnection> {
  await deps.options.assertHostAllowed(row.host);
  const { password } = databaseSecretSchema.parse(await openSecret(deps, row.secretId, row.id));
  return {
    engine: row.engine as EngineKind,
    host: row.host,
    port: row.port,
    username: row.username,
    password,
    database: row.database,
    tls: row.tls as TlsOptions | null,
  };
}

export async function targetConnectionOf(deps: ActivityDeps, restore: RestoreRun): Promise<DatabaseConnection> {
  await deps.options.assertHostAllowed(restore.targetHost);
  const { password } = databaseSecretSchema.parse(await openSecret(deps, restore.targetSecretId, restore.id));
  return {
    engine: restore.backup.database.engine as EngineKind,
    host: restore.targetHost,
    port: restore.targetPort,
    username: restore.targetUsername,
    password,
    database: restore.targetName,
    tls: restore.targetTls as TlsOptions | null,
  };
}

export function engineContext(deps: ActivityDeps, step: Step): EngineContext {
  return { signal: step.signal, scratchDir: step.scratchDir, toolRoots: deps.toolRoots };
}

/** Opens a destination that may be used; `anyState` is for checks and for removing objects, which a disabled one still allows. */
export async function openStore(
  deps: ActivityDeps,
  row: DestinationRow,
  options: { anyState?: boolean; patienceMs?: number } = {},
): Promise<Destination> {
  if (options.anyState !== true) assertUsable(row);
  const { patienceMs } = options;
  const { directoryRoots } = deps.options;
  return openDestination(await configOf(deps, row), {
    directoryRoots,
    ...(patienceMs === undefined ? {} : { patienceMs }),
  });
}

function assertUsable(row: DestinationRow): void {
  if (row.deletedAt !== null) {
    throw new TidemarkError('destination_deleted', `The destination ${row.name} was deleted.`, { object: row.id });
  }
  if (!row.enabled) {
    throw new TidemarkError('destination_disabled', `The destination ${row.name} is disabled.`, { object: row.id });
  }
}

async function configOf(deps: ActivityDeps, row: DestinationRow): Promise<DestinationConfig> {
  if (row.type === 'directory') return { type: 'directory', path: row.path ?? '', prefix: row.prefix };
  for (const host of storeHosts(row)) await deps.options.assertHostAllowed(host);
  const secret = destinationSecretSchema.parse(await openSecret(deps, row.secretId ?? '', row.id));
  return {
    type: 's3',
    endpoint: row.endpoint,
    bucket: row.bucket ?? '',
    region: row.region ?? 'us-east-1',
    prefix: row.prefix,
    ...secret,
    forcePathStyle: row.forcePathStyle,
  };
}

export type BackupKeys = {
  /** Encrypts the objects; null when the plan does not. */
  readonly encryption: WrappingKey | null;
  /** Authenticates the manifest: the same key, or the installation's own. */
  readonly manifest: WrappingKey;
  /** `manifest` sealed under the master key. */
  readonly sealed: string;
};

/** The keys of a backup. Throws `key_missing` when the row it was made under is gone. */
export async function keysOf(
  deps: ActivityDeps,
  row: { id: string; keyId: string | null; key: KeyRow | null },
): Promise<BackupKeys> {
  if (row.keyId === null) return { encryption: null, ...(await installationKey(deps)) };
  if (row.key === null) {
    throw new TidemarkError('key_missing', `The wrapping key ${row.keyId} of ${row.id} is gone.`, { object: row.id });
  }
  const key = await openWrappingKey(deps.masterKey, row.key.id, row.key.sealed);
  return { encryption: key, manifest: key, sealed: row.key.sealed };
}
type KeyRow = { id: string; sealed: string };

async function installationKey(deps: ActivityDeps): Promise<{ manifest: WrappingKey; sealed: string }> {
  const row = await keepInstallationKey(deps.catalog, installationKeyId(deps.installationId), () =>
    createInstallationKey(deps.masterKey, deps.installationId),
  );
  return { manifest: await openWrappingKey(deps.masterKey, row.id, row.sealed), sealed: row.sealed };
}

/** Opens the key that a manifest names: as the catalog has it today, or as the manifest carries it. */
export function keyOpener(deps: ActivityDeps): KeyOpener {
  return masterKeyOpener(deps.masterKey, async (keyId) => {
    const row = await deps.catalog.prisma.wrappingKey.findUnique({ where: { id: keyId } });
    return row?.sealed ?? null;
  });
}
