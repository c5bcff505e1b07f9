import type { ArchiveRun } from '../../catalog/runs/archive-run.js';
import { noteDamagedEnd } from '../../catalog/runs/note-damage.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import {
  findLastSlice,
  findSlicesOfEpoch,
  findSlicesOfFile,
  findSmallSlices,
  insertSlices,
} from '../../catalog/runs/slices.js';
import { TidemarkError } from '../../domain/errors.js';
import type { LogPosition } from '../../domain/positions.js';
import type { LogFollowerOptions } from '../../engines/log-follower.js';
import { findGoodEnd, findReplacement, groupByFile, highestTaken } from '../../recovery/find-good-end.js';
import { LARGE_SLICE } from '../../recovery/merge-slices.js';
import type { DamagedSlice, LogStore } from '../../recovery/resume-log.js';
import { findUnnoted, readRecords, resumeFrom } from '../../recovery/resume-log.js';
import { isDamage } from '../../storage/is-damage.js';
import type { StoredSlice } from '../../storage/slice-record.js';
import type { ActivityDeps } from '../deps.js';
import { rowOf } from './slice-row.js';

type Reading = {
  readonly deps: ActivityDeps;
  readonly chain: ArchiveRun;
  readonly epoch: number;
  readonly token: number;
  readonly store: LogStore;
};

/** What a follower goes on from. */
export type StoredEnd = {
  readonly last: StoredSlice | null;
  /** Small slices, in order, which may be put together. */
  readonly small: readonly StoredSlice[];
  readonly resume: LogFollowerOptions['resume'];
  /** Highest number that is taken in the store: higher than that of `last` where something damaged stands behind it. */
  readonly taken: number;
  /** What is damaged there, which the next slice is to replace; null: nothing. */
  damage: DamagedSlice | null;
};

/**
 * Where the store ends: by the rows, and by records that a killed follower left without a row. A damaged end is noted and told, and what
 * is good before it is gone on from: as long as the source has its log from there on, nothing is lost. Throws `log_gap` when nothing of the
 * epoch is good.
 */
export async function readStored(work: Reading): Promise<StoredEnd> {
  try {
    return await readEnd(work);
  } catch (error) {
    if (!isDamage(error)) throw error;
    work.deps.logger.warn({ err: error, chainId: work.chain.id }, 'the end of the log archive is damaged');
    return await readGoodEnd(work, error);
  }
}

async function readEnd(work: Reading): Promise<StoredEnd> {
  const { deps, chain, epoch, token, store } = work;
  const { catalog } = deps;
  const row = await findLastSlice(catalog.prisma, chain.id, epoch);
  const [noted] = row === null ? [] : await readRecords(store, [row]);
  const unnoted = await findUnnoted(store, noted ?? null);
  if (unnoted.slices.length > 0) {
    await insertSlices(catalog, { chainId: chain.id, epoch, token }, unnoted.slices.map(rowOf));
  }
  if (unnoted.broken !== null) {
    const { message, recordKey } = unnoted.broken;
    throw new TidemarkError('manifest_forged', message, { object: recordKey });
  }
  const last = unnoted.slices.at(-1) ?? noted ?? null;
  const small = await readSmall(work, Number.POSITIVE_INFINITY);
  if (last === null) return { last, small, resume: null, taken: 0, damage: null };
  const rows = await findSlicesOfFile(catalog, chain.id, epoch, last.record.file);
  const earlier = () => readEarlier(work, last);
  const resume = await resumeFrom(store, { last, ofFile: await readRecords(store, rows), earlier });
  return { last, small, resume, taken: last.record.seq, damage: null };
}

async function readGoodEnd(work: Reading, cause: TidemarkError): Promise<StoredEnd> {
  const { deps, chain, epoch, token, store } = work;
  const holder = { chainId: chain.id, epoch, token };
  const rows = await findSlicesOfEpoch(deps.catalog, chain.id, epoch);
  const newest = await findLastSlice(deps.catalog.prisma, chain.id, epoch);
  const { ofFile, damaged } = await findGoodEnd(store, rows);
  const last = ofFile.at(-1) ?? null;
  // Nothing that is noted: a record that no row tells of.
  const damage = damaged[0] ?? { recordKey: cause.details.object ?? '', code: cause.code, message: cause.message };
  const highest = await highestTaken(store, newest?.seq ?? 0);
  const replacement = await findReplacement(store, last, highest);
  if (replacement.slice !== null) {
    await insertSlices(deps.catalog, holder, [rowOf(replacement.slice)]);
    return await readStored(work);
  }
  await noteDamagedEnd(deps.catalog, holder, {
    damaged,
    good: ofFile.map((slice) => slice.recordKey),
    goodTo: last?.record.seq ?? 0,
  });
  await tellDamage(work, damage);
  const { taken } = replacement;
  if (last !== null) {
    const small = await readSmall(work, last.record.seq);
    const earlier = () => readEarlier(work, last);
    return { last, small, resume: await resumeFrom(store, { last, ofFile, earlier }), taken, damage };
  }
  // Nothing that was ever acknowledged: the epoch has not begun.
  if (newest === null) return { last, small: [], resume: null, taken, damage };
  const from = (rows[0]?.startPosition ?? null) as LogPosition | null;
  throw new TidemarkError(
    'log_gap',
    `Nothing of epoch ${epoch} of the stored log can be gone on from. ${damage.message}`,
    from === null ? { object: damage.recordKey } : { object: damage.recordKey, gap: { from, to: null } },
  );
}

/** The files of the epoch before the one in which `last` lies, newest first. */
async function* readEarlier({ deps, chain, epoch, store }: Reading, last: StoredSlice) {
  const rows = (await findSlicesOfEpoch(deps.catalog, chain.id, epoch)).filter(({ seq }) => seq < last.record.fromSeq);
  for (const file of groupByFile(rows).reverse())
    if (file[0]?.file !== last.record.file) yield await readRecords(store, file);
}

/** Only for putting them together: a damaged slice of long ago, which a restore will name, must not keep the log of today from being stored. */
async function readSmall({ deps, chain, epoch, store }: Reading, upTo: number): Promise<StoredSlice[]> {
  const rows = await findSmallSlices(deps.catalog, chain.id, epoch, LARGE_SLICE);
  try {
    return await readRecords(
      store,
      rows.filter(({ seq }) => seq <= upTo),
    );
  } catch (error) {
    if (!isDamage(error)) throw error;
    deps.logger.warn({ err: error, chainId: chain.id }, 'small slices are not put together');
    return [];
  }
}

async function tellDamage({ deps, chain, epoch }: Reading, { recordKey, message }: DamagedSlice): Promise<void> {
  await noteEvent(deps.catalog, {
    event: 'backup_damaged',
    dedupeKey: `backup_damaged/${chain.id}/${epoch}/${recordKey}`,
    policyId: chain.policyId,
    what: `The end of the log archive of ${chain.server.identity} under the policy ${chain.policy.name} is damaged in ${chain.policy.destination.name}. The log is read again from the source, from what is good before it; where the source has not got it any more, this is a gap, of which you hear in another mail.`,
    why: message,
    nextStep: 'Find out what changed the stored objects: nothing of Tidemark ever does.',
  });
}
