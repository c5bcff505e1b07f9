import type { ImportedDatabase, ImportedServer, ImportRows } from '../../catalog/imports.js';
import { newId } from '../../domain/ids.js';
import type { BackupTrigger } from '../../domain/statuses.js';
import { backupTriggers } from '../../domain/statuses.js';
import type { Manifest } from '../../storage/manifest.js';
import { factsOf } from '../../storage/manifest-facts.js';
import { sliceFactsOf } from '../../storage/slice-facts.js';
import type { StoredSlice } from '../../storage/slice-record.js';

type Contents = { readonly manifests: readonly Manifest[]; readonly slices: readonly StoredSlice[] };

/** Names are cut to what the API takes. */
const carrierName = (name: string) => `imported ${name}`.slice(0, 100);

/**
 * Everything that an authenticated store tells of its installation's catalog, as rows. Where several manifests speak of the same thing the
 * newest one is right. Ids are those of the store; only a server of which there are dumps alone has none there and gets a new one.
 */
export function deriveRows(contents: Contents): Omit<ImportRows, 'keys'> {
  const newest = contents.manifests.toSorted((a, b) => b.takenAt.localeCompare(a.takenAt));
  const servers = deriveServers(newest, contents.slices);
  const databases = deriveDatabases(newest, servers);
  const chains = deriveChains(newest, contents.slices);
  return {
    servers,
    databases,
    plans: derivePlans(newest),
    policies: derivePolicies(newest, contents.slices),
    chains,
    attachments: deriveAttachments(newest),
    backups: newest.map(toBackup),
    slices: contents.slices.map((slice) => ({
      chainId: slice.record.chainId,
      serverId: slice.record.serverId,
      epoch: slice.record.epoch,
      row: sliceFactsOf(slice),
    })),
  };
}

function firstOf<K, V>(entries: Iterable<readonly [K, V]>): Map<K, V> {
  const map = new Map<K, V>();
  for (const [key, value] of entries) if (!map.has(key)) map.set(key, value);
  return map;
}

function deriveServers(newest: readonly Manifest[], slices: readonly StoredSlice[]): ImportedServer[] {
  const stored = firstOf([
    ...newest.flatMap(({ chain, source }) => (chain === undefined ? [] : [[chain.serverId, source] as const])),
    ...slices.map(({ record }) => [record.serverId, record.source] as const),
  ]);
  const about = (
    id: string,
    { engine, identity, version, major }: Manifest['source'] | StoredSlice['record']['source'],
  ) => ({ id, engine, identity, version, major }) as const;
  const servers: ImportedServer[] = [...stored].map(([id, source]) => ({ ...about(id, source), isStored: true }));
  for (const { source } of newest) {
    if (servers.some(({ identity }) => identity === source.identity)) continue;
    servers.push({ ...about(newId('server'), source), isStored: false });
  }
  return servers;
}

function deriveDatabases(newest: readonly Manifest[], servers: readonly ImportedServer[]): ImportedDatabase[] {
  // A dump names its own database; a backup of a server names the connection that was read, which may be another one.
  const ordered = [...newest.filter(({ chain }) => chain === undefined), ...newest.filter(({ chain }) => chain)];
  const found = ordered.flatMap(({ databaseId, source, chain, about }) => {
    const { engine, host, port } = source;
    const serverId = chain?.serverId ?? servers.find(({ identity }) => identity === source.identity)?.id ?? null;
    const place = { engine, host, port, serverId };
    const attached = (chain?.attached ?? []).map(
      (one) => [one.databaseId, { id: one.databaseId, name: one.name, database: one.database, ...place }] as const,
    );
    const { database } = source;
    const own = { id: databaseId, name: about?.databaseName ?? database, database, ...place };
    return [...attached, [databaseId, own] as const];
  });
  return [...firstOf(found).values()];
}

function derivePlans(newest: readonly Manifest[]): ImportRows['plans'] {
  const found = newest.flatMap((manifest) => {
    const { planId, databaseId, source, encryption, about } = manifest;
    if (planId === null) return [];
    const name = carrierName(about?.planName ?? source.database);
    return [[planId, { id: planId, name, databaseId, keyId: encryption?.keyId ?? null }] as const];
  });
  return [...firstOf(found).values()];
}

function derivePolicies(newest: readonly Manifest[], slices: readonly StoredSlice[]): ImportRows['policies'] {
  const archived = new Set(slices.map(({ record }) => record.policyId));
  const of = (id: string, name: string, encryption: { keyId: string } | null) =>
    [id, { id, name: carrierName(name), keyId: encryption?.keyId ?? null, pitr: archived.has(id) }] as const;
  const found = [
    ...newest.flatMap(({ chain, encryption }) =>
      chain === undefined ? [] : [of(chain.policyId, chain.policyName ?? 'policy', encryption)],
    ),
    ...slices.map(({ record }) => of(record.policyId, 'policy', record.encryption)),
  ];
  return [...firstOf(found).values()];
}

/** The newest epoch of each chain, and how far its log is known to cover everything. */
function deriveChains(newest: readonly Manifest[], slices: readonly StoredSlice[]): ImportRows['chains'] {
  const chains = new Map<string, ImportRows['chains'][number]>();
  const note = (id: string, policyId: string, serverId: string, epoch: number, coversTo: string | null) => {
    const known = chains.get(id);
    const covered = coversTo === null ? null : new Date(coversTo);
    if (known === undefined || known.epoch < epoch) {
      chains.set(id, { id, policyId, serverId, epoch, coveredTo: covered });
    } else if (known.epoch === epoch && covered !== null && (known.coveredTo === null || known.coveredTo < covered)) {
      chains.set(id, { ...known, coveredTo: covered });
    }
  };
  for (const { chain } of newest) {
    if (chain !== undefined) note(chain.chainId, chain.policyId, chain.serverId, chain.epoch ?? 0, null);
  }
  for (const { record } of slices) {
    note(record.chainId, record.policyId, record.serverId, record.epoch, record.coversTo);
  }
  return [...chains.values()];
}

/** A database is restored to a moment through what it was attached to; here it is not attached any more. */
function deriveAttachments(newest: readonly Manifest[]): ImportRows['attachments'] {
  const found = newest.flatMap(({ chain, databaseId, takenAt }) => {
    if (chain === undefined) return [];
    const { chainId, policyId, serverId } = chain;
    const times = (kind: 'full' | 'incremental') => {
      const last = newest.find((one) => one.chain?.chainId === chainId && one.kind === kind);
      return last === undefined ? null : new Date(last.takenAt);
    };
    const ids = new Set([databaseId, ...(chain.attached ?? []).map((one) => one.databaseId)]);
    return [...ids].map(
      (id) =>
        [
          `${chainId}/${id}`,
          {
            ...{ databaseId: id, chainId, policyId, serverId, createdAt: new Date(takenAt) },
            ...{ lastFullAt: times('full'), lastIncrementalAt: times('incremental') },
          },
        ] as const,
    );
  });
  const oldest = new Map(found);
  return [...firstOf(found)].map(([key, row]) => ({ ...row, createdAt: oldest.get(key)?.createdAt ?? row.createdAt }));
}

function toBackup(manifest: Manifest): ImportRows['backups'][number] {
  const { chain: chainFacts, ...facts } = factsOf(manifest);
  const { backupId: id, kind, label, databaseId, planId, chain, encryption, about } = manifest;
  return {
    ...facts,
    ...{ id, kind, label, databaseId, planId },
    policyId: chain?.policyId ?? null,
    chainId: chain?.chainId ?? null,
    serverId: chain?.serverId ?? null,
    parentId: chainFacts?.parentId ?? null,
    epoch: chainFacts?.epoch ?? null,
    startPosition: chainFacts?.startPosition ?? null,
    keyId: encryption?.keyId ?? null,
    trigger: triggerOf(about?.trigger),
    startedAt: new Date(manifest.startedAt),
    completedAt: new Date(manifest.completedAt),
  };
}

const triggerOf = (text: string | undefined): BackupTrigger =>
  backupTriggers.find((trigger) => trigger === text) ?? 'manual';
