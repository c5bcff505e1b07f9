import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import type { PlanInput, PlanSlice } from '../domain/recovery-plan.js';
import type { ChainBackup } from '../domain/recovery-window.js';
import type { KeyOpener } from '../keys/key-opener.js';
import type { Destination } from '../storage/destination.js';
import { isDamage } from '../storage/is-damage.js';
import { ROOT } from '../storage/layout.js';
import { listBackups } from '../storage/list-backups.js';
import { coverRange, listSliceRecords } from '../storage/read-log-slice.js';
import type { VerifiedManifest } from '../storage/read-manifest.js';
import { readManifest } from '../storage/read-manifest.js';
import type { SlicePlace, StoredSlice } from '../storage/slice-record.js';
import { verifySizes } from '../storage/verify-artifact.js';

/** What a destination alone tells of one chain: everything a recovery needs, without the catalog. */
export type StoredChain = {
  readonly serverId: string;
  readonly policyId: string;
  readonly engine: EngineKind;
  readonly manifests: ReadonlyMap<string, VerifiedManifest>;
  readonly slices: ReadonlyMap<number, readonly StoredSlice[]>;
  readonly input: PlanInput;
  /** What cannot be read is left out, as if it were not there; why, by each. */
  readonly damaged: readonly TidemarkError[];
};

type Reading = { readonly destination: Destination; readonly openKey: KeyOpener; readonly signal: AbortSignal };

/**
 * Reads every backup and every slice record of a server, each authenticated; those that are damaged are left out and told: an older backup
 * may reach as far, and a larger slice may stand for a damaged one. Throws `manifest_missing` when there is no full of it, and
 * `conflict` when several policies keep one and none is named.
 */
export async function readStoredChain(
  reading: Reading,
  wanted: { readonly serverId: string; readonly policyId: string | null },
): Promise<StoredChain> {
  const { destination, signal } = reading;
  const { serverId } = wanted;
  const all: VerifiedManifest[] = [];
  const damaged: TidemarkError[] = [];
  for await (const found of listBackups({ destination, signal })) {
    if (found.ownerId !== serverId) continue;
    try {
      const verified = await readManifest({ ...reading, ...found });
      await verifySizes({ destination, artifacts: verified.manifest.artifacts, signal });
      all.push(verified);
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.push(error);
    }
  }
  const policies = new Set(all.flatMap(({ manifest }) => manifest.chain?.policyId ?? []));
  const [policyId, ...others] = wanted.policyId === null ? [...policies] : [wanted.policyId];
  if (policyId === undefined) {
    throw new TidemarkError('manifest_missing', `There is no full of ${serverId} in ${destination.location}.`, {
      object: serverId,
    });
  }
  if (others.length > 0) {
    throw new TidemarkError(
      'conflict',
      `Several policies keep backups of ${serverId}: ${[policyId, ...others].join(', ')}. Name one by --policy.`,
    );
  }
  const own = all.filter(({ manifest }) => manifest.chain?.policyId === policyId);
  const slices = new Map<number, StoredSlice[]>();
  for (const epoch of await findEpochs(reading, serverId, policyId)) {
    const place: SlicePlace = { destination, serverId, policyId, epoch };
    const records: StoredSlice[] = [];
    const onDamaged = (error: TidemarkError) => void damaged.push(error);
    for await (const slice of listSliceRecords({ ...reading, place, onDamaged })) records.push(slice);
    slices.set(epoch, standing(records));
  }
  return {
    serverId,
    policyId,
    engine: own[0]?.manifest.source.engine ?? 'postgresql',
    manifests: new Map(own.map((verified) => [verified.manifest.backupId, verified])),
    slices,
    input: {
      backups: own.map(toChainBackup).sort((a, b) => a.takenAt.localeCompare(b.takenAt)),
      slices: [...slices.keys()].sort((a, b) => a - b).flatMap((epoch) => (slices.get(epoch) ?? []).map(toPlanSlice)),
      present: null,
    },
    damaged,
  };
}

async function findEpochs({ destination, signal }: Reading, serverId: string, policyId: string): Promise<number[]> {
  const epochs = new Set<number>();
  const prefix = `${ROOT}/${serverId}/archive/${policyId}/`;
  for await (const { key } of destination.list(prefix, { signal })) {
    const epoch = /^(\d{6})\//.exec(key.slice(prefix.length))?.[1];
    if (epoch !== undefined) epochs.add(Number(epoch));
  }
  return [...epochs].sort((a, b) => a - b);
}

/** Of slices that stand for the same numbers only the largest. */
function standing(records: readonly StoredSlice[]): StoredSlice[] {
  const numbered = records
    .map((slice) => ({ slice, fromSeq: slice.record.fromSeq, seq: slice.record.seq }))
    .sort((a, b) => a.fromSeq - b.fromSeq || b.seq - a.seq);
  const kept: typeof numbered = [];
  for (const one of numbered) if ((kept.at(-1)?.seq ?? 0) < one.fromSeq) kept.push(one);
  return kept.map(({ slice }) => slice);
}

function toChainBackup({ manifest }: VerifiedManifest): ChainBackup {
  return {
    id: manifest.backupId,
    kind: manifest.kind === 'full' ? 'full' : 'incremental',
    incremental: manifest.kind === 'full' ? null : (manifest.chain?.incremental ?? 'physical'),
    parentId: manifest.parentId,
    epoch: manifest.chain?.epoch ?? null,
    takenAt: manifest.takenAt,
    startPosition: manifest.startPosition,
    endPosition: manifest.endPosition,
  };
}

const toPlanSlice = ({ record }: StoredSlice): PlanSlice => record;

/** The slices of a range, in order; empty when one is missing. */
export function slicesOf(chain: StoredChain, range: { epoch: number; fromSeq: number; toSeq: number }): StoredSlice[] {
  const numbered = (chain.slices.get(range.epoch) ?? []).map((slice) => ({
    ...slice,
    fromSeq: slice.record.fromSeq,
    seq: slice.record.seq,
  }));
  const touching = numbered.filter((slice) => slice.seq >= range.fromSeq && slice.fromSeq <= range.toSeq);
  const from = Math.min(range.fromSeq, ...touching.map((slice) => slice.fromSeq));
  return coverRange(touching, from, range.toSeq) ?? [];
}
