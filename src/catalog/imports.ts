import type { EngineKind } from '../domain/engine-kinds.js';
import { newId } from '../domain/ids.js';
import type { LogPosition } from '../domain/positions.js';
import type { defaultPolicyRetention } from '../domain/schemas/policies.js';
import type { BackupKind, BackupTrigger } from '../domain/statuses.js';
import type { Catalog, CatalogQueries } from './client.js';
import { jsonColumn, jsonObject } from './json.js';
import type { SliceRow } from './runs/slices.js';
import { markReplaced, sliceData } from './runs/slices.js';

/** What an import writes. Nothing that is there already is changed, except that a chain of which more is known reaches further. */

export type ImportedServer = {
  readonly id: string;
  readonly engine: EngineKind;
  readonly identity: string;
  readonly version: string;
  readonly major: string;
  /** Backups or log lie in the store under this id; else the id is new, and an existing one of the same identity is as good. */
  readonly isStored: boolean;
};

export type ImportedDatabase = {
  readonly id: string;
  readonly name: string;
  readonly engine: EngineKind;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly serverId: string | null;
};

type ImportedBackup = {
  readonly id: string;
  readonly kind: BackupKind;
  readonly label: string | null;
  readonly databaseId: string;
  readonly planId: string | null;
  readonly policyId: string | null;
  readonly chainId: string | null;
  readonly serverId: string | null;
  readonly parentId: string | null;
  readonly epoch: number | null;
  readonly startPosition: LogPosition | null;
  readonly position: LogPosition;
  readonly keyId: string | null;
  readonly trigger: BackupTrigger;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly serverVersion: string;
  readonly content: { readonly tables: number; readonly rows: string } | null;
  readonly databases: readonly string[] | null;
  readonly fingerprintUnavailable: string | null;
  readonly manifestKey: string;
  readonly startedAt: Date;
  readonly takenAt: Date;
  readonly completedAt: Date;
};

export type ImportRows = {
  readonly servers: readonly ImportedServer[];
  readonly databases: readonly ImportedDatabase[];
  readonly keys: readonly { readonly id: string; readonly sealed: string }[];
  readonly plans: readonly { id: string; name: string; databaseId: string; keyId: string | null }[];
  readonly policies: readonly { id: string; name: string; keyId: string | null; pitr: boolean }[];
  readonly chains: readonly {
    id: string;
    policyId: string;
    serverId: string;
    epoch: number;
    coveredTo: Date | null;
  }[];
  readonly attachments: readonly {
    databaseId: string;
    chainId: string;
    policyId: string;
    serverId: string;
    /** As far as the store tells. */
    createdAt: Date;
    lastFullAt: Date | null;
    lastIncrementalAt: Date | null;
  }[];
  readonly backups: readonly ImportedBackup[];
  readonly slices: readonly { chainId: string; serverId: string; epoch: number; row: SliceRow }[];
};

/** Rows that were added, by kind. */
export const importedKinds = [
  'servers',
  'databases',
  'keys',
  'plans',
  'policies',
  'chains',
  'backups',
  'slices',
] as const;
export type ImportCounts = Record<(typeof importedKinds)[number], number>;

/** Where rows belong, and who owns them. */
export type ImportPlace = { readonly destinationId: string; readonly ownerId: string };

/** What carriers keep: as much as a policy can. What they carry was made by rules that nobody knows any more. */
const keepAll = { fulls: 1000, incrementalDays: 3650, pitrHours: 87_600 } as const satisfies Record<
  keyof typeof defaultPolicyRetention,
  number
>;
const MANY = 1_000;

/** Keys of slice records that the catalog knows. */
export async function findKnownSlices(catalog: Catalog, recordKeys: readonly string[]): Promise<Set<string>> {
  const known = new Set<string>();
  for (const some of inPieces(recordKeys)) {
    const rows = await catalog.prisma.logSlice.findMany({
      where: { recordKey: { in: [...some] } },
      select: { recordKey: true },
    });
    for (const { recordKey } of rows) known.add(recordKey);
  }
  return known;
}

/** Ids of databases of an import that the catalog does not have, deleted ones counting as there. */
export async function findNewDatabases(tx: CatalogQueries, ids: readonly string[]): Promise<string[]> {
  const rows = await tx.database.findMany({ where: { id: { in: [...ids] } }, select: { id: true } });
  const known = new Set(rows.map(({ id }) => id));
  return ids.filter((id) => !known.has(id));
}

export type PlacedServers = {
  /** From the id in the import to the one in the catalog. */
  readonly ids: ReadonlyMap<string, string>;
  /** In the store under one id and here, with backups of its own, under another: what is stored of it whole cannot stand beside that. */
  readonly clashes: readonly { readonly storedId: string; readonly knownId: string }[];
  readonly added: number;
};

/** A server that is known here by another id takes the stored one, because objects lie under it, unless something here does already. */
export async function placeServers(tx: CatalogQueries, servers: readonly ImportedServer[]): Promise<PlacedServers> {
  const ids = new Map<string, string>();
  const clashes: { storedId: string; knownId: string }[] = [];
  let added = 0;
  for (const { isStored, ...server } of servers) {
    const { id, identity } = server;
    const found = await tx.server.findFirst({
      where: { OR: [{ id }, { identity }] },
      // The one of the stored id first, whatever else has its identity.
      orderBy: { createdAt: 'asc' },
      include: { _count: { select: { chains: true, backups: true } } },
    });
    const same = found?.id === id ? found : await tx.server.findUnique({ where: { id } });
    if (same !== null) ids.set(id, id);
    else if (found === null) {
      await tx.server.create({ data: server });
      ids.set(id, id);
      added += 1;
    } else if (!isStored) ids.set(id, found.id);
    else if (found._count.chains + found._count.backups === 0) {
      await tx.server.update({ where: { id: found.id }, data: { id } });
      ids.set(id, id);
    } else {
      ids.set(id, found.id);
      clashes.push({ storedId: id, knownId: found.id });
    }
  }
  return { ids, clashes, added };
}

export type SealedSecrets = ReadonlyMap<string, { readonly id: string; readonly sealed: string }>;

/** Databases come without credentials: `secrets` has an empty one for each that is new, until somebody gives the right ones. */
export async function insertImportedDatabases(
  tx: CatalogQueries,
  databases: readonly ImportedDatabase[],
  placed: PlacedServers,
  secrets: SealedSecrets,
  { ownerId }: ImportPlace,
): Promise<void> {
  for (const { serverId, ...database } of databases) {
    const secret = secrets.get(database.id);
    if (secret === undefined) continue;
    await tx.secret.create({ data: { ...secret, purpose: 'database' } });
    await tx.database.create({
      data: {
        ...database,
        ownerId,
        username: '',
        secretId: secret.id,
        serverId: serverId === null ? null : (placed.ids.get(serverId) ?? null),
        checkError: jsonObject({
          code: 'secret_missing',
          message: `${database.name} was imported without credentials, which no store holds. Send username and password with PATCH /v1/databases/${database.id}.`,
        }),
      },
    });
  }
}

/** Everything else, in the order of its references. Returns how many rows were added. */
export async function insertImportedRows(
  tx: CatalogQueries,
  rows: Pick<ImportRows, 'keys' | 'plans' | 'policies' | 'chains' | 'attachments' | 'backups' | 'slices'>,
  { destinationId, ownerId }: ImportPlace,
): Promise<Omit<ImportCounts, 'servers' | 'databases'>> {
  const skipDuplicates = true;
  const keys = await tx.wrappingKey.createMany({ data: [...rows.keys], skipDuplicates });
  const carrier = { destinationId, ownerId, status: 'paused' };
  const plans = await tx.plan.createMany({
    data: rows.plans.map((plan) => ({
      ...plan,
      ...carrier,
      encryption: plan.keyId !== null,
      schedule: { type: 'manual' },
    })),
    skipDuplicates,
  });
  const policies = await tx.policy.createMany({
    data: rows.policies.map((policy) => ({
      ...policy,
      ...carrier,
      encryption: policy.keyId !== null,
      pausedBy: 'user',
      schedule: { full: { frequency: 'daily', time: '03:00' }, incremental: 'none' },
      retention: keepAll,
    })),
    skipDuplicates,
  });
  const chains = await tx.chain.createMany({
    data: rows.chains.map(({ epoch, ...chain }) => ({
      ...chain,
      slotName: `tidemark_${chain.id}`,
      archiveStatus: 'stopped',
      archiveEpoch: epoch,
    })),
    skipDuplicates,
  });
  await insertAttachments(tx, rows.attachments);
  let backups = 0;
  for (const some of inPieces(rows.backups)) {
    backups += (await tx.backup.createMany({ data: some.map((row) => backupData(row, destinationId)), skipDuplicates }))
      .count;
  }
  const slices = await insertImportedSlices(tx, rows.slices);
  await extendChains(tx, rows.chains);
  return {
    ...{ keys: keys.count, plans: plans.count, policies: policies.count, chains: chains.count },
    ...{ backups, slices },
  };
}

/** As of databases that were let go: that is how a window is found for them. */
async function insertAttachments(tx: CatalogQueries, attachments: ImportRows['attachments']): Promise<void> {
  for (const { serverId: _serverId, ...attachment } of attachments) {
    const { databaseId, chainId } = attachment;
    if ((await tx.attachment.count({ where: { databaseId, chainId } })) > 0) continue;
    await tx.attachment.create({
      data: {
        ...attachment,
        id: newId('attachment'),
        status: 'detached',
        pitrStatus: 'disabled',
        detachedAt: new Date(),
      },
    });
  }
}

function backupData(row: ImportedBackup, destinationId: string) {
  const { bytes, storedBytes, position, startPosition, content, databases, ...plain } = row;
  return {
    ...plain,
    destinationId,
    status: 'completed',
    createdAt: row.startedAt,
    fencingToken: 1,
    bytes: BigInt(bytes),
    storedBytes: BigInt(storedBytes),
    position: jsonObject(position),
    startPosition: jsonColumn(startPosition),
    content: jsonColumn(content),
    databases: jsonColumn(databases),
    progress: jsonObject({ phase: 'completed', bytes, percent: 100 }),
  };
}

async function insertImportedSlices(tx: CatalogQueries, slices: ImportRows['slices']): Promise<number> {
  let added = 0;
  for (const some of inPieces(slices)) {
    const data = some.map(({ chainId, epoch, row }) => sliceData(chainId, epoch, row));
    added += (await tx.logSlice.createMany({ data, skipDuplicates: true })).count;
  }
  for (const { chainId, epoch, row } of slices) await markReplaced(tx, chainId, epoch, row);
  return added;
}

/** A chain that nothing here adds to reaches as far as the store now says; one that is followed here knows better. */
async function extendChains(tx: CatalogQueries, chains: ImportRows['chains']): Promise<void> {
  for (const { id, epoch, coveredTo } of chains) {
    const further = coveredTo === null ? [] : [{ coveredTo: null }, { coveredTo: { lt: coveredTo } }];
    await tx.chain.updateMany({
      where: {
        id,
        archiveWanted: false,
        archiveStatus: 'stopped',
        attachments: { none: { activeKey: { not: null } } },
        OR: [{ archiveEpoch: { lt: epoch } }, ...further.map((one) => ({ archiveEpoch: epoch, ...one }))],
      },
      data: { archiveEpoch: epoch, coveredTo },
    });
  }
}

function* inPieces<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += MANY) yield items.slice(from, from + MANY);
}
