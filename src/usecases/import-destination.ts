import { recordAudit } from '../catalog/audit-events.js';
import type { CatalogQueries } from '../catalog/client.js';
import { findDestinationAt, insertDestination } from '../catalog/destinations.js';
import type { ImportCounts, ImportRows } from '../catalog/imports.js';
import {
  findKnownSlices,
  findNewDatabases,
  insertImportedDatabases,
  insertImportedRows,
  placeServers,
} from '../catalog/imports.js';
import { insertSecret } from '../catalog/secrets.js';
import { newId } from '../domain/ids.js';
import type { KeyOpener } from '../keys/key-opener.js';
import { sealWrappingKey } from '../keys/wrapping-key.js';
import type { Destination, DestinationConfig } from '../storage/destination.js';
import { normalisePrefix } from '../storage/layout.js';
import { readOwner } from '../storage/owner.js';
import type { KeyContext, Principal } from './context.js';
import { deriveRows } from './import/derive-rows.js';
import type { Refused } from './import/read-contents.js';
import { readContents } from './import/read-contents.js';
import { assertAdmin } from './shared/refusals.js';
import { sealCredentials } from './shared/seal-credentials.js';

export type ImportInput = {
  readonly config: DestinationConfig;
  /** `config`, opened; the caller closes it. */
  readonly destination: Destination;
  /** Opens what the store was sealed with; what is kept of it here is sealed under this installation's master key. */
  readonly openKey: KeyOpener;
  /** For people, if the place is not registered yet. */
  readonly name: string;
  /** Reads and decides everything, and writes nothing. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
};

export type ImportReport = {
  readonly destinationId: string;
  readonly isNewDestination: boolean;
  /** Rows that were added. */
  readonly added: ImportCounts;
  /** In the store: authentic backups, and slices of logs. */
  readonly found: { readonly backups: number; readonly slices: number };
  readonly refused: readonly Refused[];
  /** Databases that were added; no store holds their passwords. */
  readonly newDatabaseIds: readonly string[];
  /** The installation that writes there, when it is another one: it goes on until somebody takes the place over. */
  readonly writtenBy: string | null;
};

/** Some hundred thousand slices of a long archive. */
const WRITE_TIMEOUT_MS = 15 * 60_000;

/**
 * Brings back from a destination what a catalog has to know to restore from it: servers, databases, keys, backups, chains, logs and with
 * them windows. Plans and policies come back as paused carriers that keep everything. The store is only read. What is known is left as it
 * is, so that a second import adds what is new. Throws `wrong_master_key` when nothing opens, or what the store throws.
 */
export async function importDestination(
  context: KeyContext,
  principal: Principal,
  input: ImportInput,
): Promise<ImportReport> {
  assertAdmin(principal, 'import a destination');
  const { destination, openKey, signal } = input;
  const contents = await readContents({
    destination,
    openKey,
    findKnown: (recordKeys) => findKnownSlices(context.catalog, recordKeys),
    signal,
  });
  const owner = await readOwner({ destination, signal });
  const keys = await Promise.all(
    contents.keys.map(async (key) => ({ id: key.id, sealed: await sealWrappingKey(context.masterKey, key) })),
  );
  const rows: ImportRows = { ...deriveRows(contents), keys };
  signal.throwIfAborted();
  try {
    return await context.catalog.prisma.$transaction(
      async (tx) => {
        const written = await writeRows(context, principal, tx, input, rows);
        const report: ImportReport = {
          ...written,
          refused: [...contents.refused, ...written.refused],
          found: {
            backups: contents.manifests.length,
            slices: contents.slices.length + contents.knownSlices,
          },
          writtenBy: owner === null || owner.installationId === context.installationId ? null : owner.installationId,
        };
        // Undone as a whole: what it would have done was done, so that the figures are right.
        if (input.dryRun) throw new DryRun(report);
        return report;
      },
      { timeout: WRITE_TIMEOUT_MS, maxWait: 10_000 },
    );
  } catch (error) {
    if (error instanceof DryRun) return error.report;
    throw error;
  }
}

class DryRun extends Error {
  readonly report: ImportReport;
  constructor(report: ImportReport) {
    super('nothing was to be written');
    this.report = report;
  }
}

type Written = Omit<ImportReport, 'found' | 'writtenBy'>;

async function writeRows(
  context: KeyContext,
  principal: Principal,
  tx: CatalogQueries,
  input: ImportInput,
  rows: ImportRows,
): Promise<Written> {
  const { userId: ownerId } = principal;
  const { id: destinationId, isNew } = await ensureDestination(context, principal, tx, input);
  const place = { destinationId, ownerId };
  const placed = await placeServers(tx, rows.servers);
  const clashing = new Set(placed.clashes.map(({ storedId }) => storedId));
  const fits = ({ serverId }: { serverId: string | null }) => serverId === null || !clashing.has(serverId);
  const newDatabaseIds = await findNewDatabases(
    tx,
    rows.databases.map(({ id }) => id),
  );
  const secrets = new Map<string, { id: string; sealed: string }>();
  for (const id of newDatabaseIds) secrets.set(id, await sealCredentials(context, { password: '' }));
  await insertImportedDatabases(tx, rows.databases, placed, secrets, place);
  const chains = rows.chains.filter(fits);
  const added = await insertImportedRows(
    tx,
    {
      ...rows,
      chains,
      policies: rows.policies.filter(({ id }) => chains.some(({ policyId }) => policyId === id)),
      attachments: rows.attachments.filter(fits),
      backups: rows.backups.filter(fits),
      slices: rows.slices.filter(fits),
    },
    place,
  );
  const counts: ImportCounts = { servers: placed.added, databases: newDatabaseIds.length, ...added };
  if (isNew || Object.values(counts).some((count) => count > 0)) {
    await recordAudit(tx, principal, 'destination.imported', destinationId, counts);
  }
  return {
    ...{ destinationId, isNewDestination: isNew, added: counts, newDatabaseIds },
    refused: placed.clashes.map(({ storedId, knownId }) => ({
      object: storedId,
      code: 'conflict',
      message: `The server is known here as ${knownId}, with backups of its own; what the store holds of it whole needs an empty catalog.`,
    })),
  };
}

/** The destination registered for the place, or a new one. */
async function ensureDestination(
  context: KeyContext,
  principal: Principal,
  tx: CatalogQueries,
  { config, name }: ImportInput,
): Promise<{ id: string; isNew: boolean }> {
  const prefix = normalisePrefix(config.prefix);
  const { type } = config;
  const s3 = config.type === 's3' ? config : null;
  const place = {
    ...{ type, prefix, endpoint: s3?.endpoint ?? null, bucket: s3?.bucket ?? null },
    path: config.type === 'directory' ? config.path : null,
  };
  const found = await findDestinationAt(tx, place);
  if (found !== null) return { id: found.id, isNew: false };
  const secret =
    s3 === null
      ? null
      : await sealCredentials(context, { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey });
  if (secret !== null) await insertSecret(tx, { ...secret, purpose: 'destination' });
  const created = await insertDestination(tx, {
    ...place,
    id: newId('destination'),
    name,
    region: s3?.region ?? null,
    forcePathStyle: s3?.forcePathStyle ?? true,
    enabled: true,
    secretId: secret?.id ?? null,
    ownerId: principal.userId,
  });
  return { id: created.id, isNew: true };
}
