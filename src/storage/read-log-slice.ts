import { Readable } from 'node:stream';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import { manifestMac, sameMac } from '../keys/derive-key.js';
import type { KeyOpener } from '../keys/key-opener.js';
import type { WrappingKey } from '../keys/types.js';
import { canonicalJson } from './canonical-json.js';
import { isDamage } from './is-damage.js';
import { readArtifact } from './read-artifact.js';
import { readSmallObject } from './read-small-object.js';
import type { SlicePlace, SliceRecord, StoredSlice } from './slice-record.js';
import {
  forgedSlice,
  parseSliceRecordKey,
  placePrefix,
  sha256Of,
  sliceRecordKey,
  sliceRecordSchema,
  tailOf,
} from './slice-record.js';

type Reading = { readonly place: SlicePlace; readonly openKey: KeyOpener; readonly signal: AbortSignal };

/** Reads and authenticates one record; null when there is none. Throws `manifest_forged`, or what `openKey` throws. */
export async function readSliceRecord(options: Reading & { readonly recordKey: string }): Promise<StoredSlice | null> {
  const { place, recordKey, signal } = options;
  let body: Buffer;
  try {
    body = await readSmallObject(place.destination, recordKey, signal);
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'object_missing') return null;
    throw error;
  }
  const raw = parseJson(body, recordKey);
  const parsed = sliceRecordSchema.safeParse(raw);
  if (!parsed.success) throw forgedSlice(recordKey, 'it is not a slice record');
  const record = parsed.data;
  const key = await options.openKey(record.macKey.keyId, record.macKey.sealedKey);
  // Over what is stored, not over what the schema kept of it.
  const { mac: _mac, ...unsigned } = raw as Record<string, unknown>;
  if (!sameMac(record.mac, manifestMac(key, canonicalJson(unsigned)))) {
    throw forgedSlice(recordKey, 'its HMAC is not right');
  }
  assertOwn(place, record, recordKey);
  if (record.encryption && record.encryption.keyId !== key.id)
    throw forgedSlice(recordKey, 'it names two different keys');
  return { record, recordKey, recordSha256: sha256Of(body) };
}

function parseJson(body: Buffer, at: string): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw forgedSlice(at, 'it is not JSON');
  }
}

/** A genuine record of another place, epoch or number, put in the place of this one, has a right HMAC. */
function assertOwn(place: SlicePlace, record: SliceRecord, at: string): void {
  const wanted = { serverId: place.serverId, policyId: place.policyId, epoch: place.epoch };
  if (
    record.serverId !== wanted.serverId ||
    record.policyId !== wanted.policyId ||
    record.epoch !== wanted.epoch ||
    sliceRecordKey(place, record.fromSeq, record.seq) !== at
  ) {
    throw forgedSlice(at, `it belongs to epoch ${record.epoch} of ${record.serverId}, number ${record.seq}`);
  }
  if (!record.object.key.startsWith(`${placePrefix(place)}/`)) {
    throw forgedSlice(at, `it names ${record.object.key}, which is not part of the archive`);
  }
}

/** Records read at a time: each is one small object, and an epoch may have thousands. */
const RECORDS_AT_A_TIME = 16;

/** Every record of an epoch in the order of its numbers, each authenticated. One that is not is thrown, or told and left out. */
export async function* listSliceRecords(
  options: Reading & { readonly onDamaged?: (error: TidemarkError) => void },
): AsyncGenerator<StoredSlice> {
  const { place, signal, onDamaged } = options;
  const keys = Readable.from(recordKeys(place, signal));
  const read = async (recordKey: string) => {
    try {
      return { slice: await readSliceRecord({ ...options, recordKey }) };
    } catch (error) {
      if (onDamaged === undefined || !isDamage(error)) throw error;
      onDamaged(error);
      return { slice: null };
    }
  };
  // Removed since it was listed: a larger slice replaced it.
  for await (const { slice } of keys.map(read, { concurrency: RECORDS_AT_A_TIME })) if (slice !== null) yield slice;
}

async function* recordKeys(place: SlicePlace, signal: AbortSignal): AsyncGenerator<string> {
  for await (const { key } of place.destination.list(`${placePrefix(place)}/`, { signal }))
    if (parseSliceRecordKey(key) !== null) yield key;
}

/** The numbers that decide which slices stand for a range. */
export type Numbered = { readonly fromSeq: number; readonly seq: number };

/**
 * The fewest slices that stand for the numbers `from` to `to`, in order; null where one is missing. Takes the largest at each place: the
 * smaller ones that it replaces may be gone.
 */
export function coverRange<T extends Numbered>(slices: readonly T[], from: number, to: number): T[] | null {
  const byStart = new Map<number, T>();
  for (const slice of slices) {
    const known = byStart.get(slice.fromSeq);
    if (known === undefined || known.seq < slice.seq) byStart.set(slice.fromSeq, slice);
  }
  const chosen: T[] = [];
  for (let next = from; next <= to; ) {
    const slice = byStart.get(next);
    if (slice === undefined) return null;
    chosen.push(slice);
    next = slice.seq + 1;
  }
  return chosen;
}

/** Throws `log_gap` unless each record names the one before it: a slice that is missing or was exchanged shows. */
export function assertLinked(slices: readonly StoredSlice[]): void {
  for (const [index, slice] of slices.entries()) {
    const before = slices[index - 1];
    if (before === undefined) continue;
    if (slice.record.fromSeq !== before.record.seq + 1 || slice.record.previous !== tailOf(before)) {
      throw new TidemarkError(
        'log_gap',
        `The log archive is broken: ${slice.recordKey} does not follow ${before.recordKey}.`,
        { object: slice.recordKey },
      );
    }
  }
}

/** The plain bytes of a slice; they count only when the stream ends without an error. */
export function openSlice(options: {
  readonly place: SlicePlace;
  readonly record: SliceRecord;
  readonly openKey: KeyOpener;
  readonly signal: AbortSignal;
}): Promise<Readable> {
  const { place, record, signal } = options;
  return openKeyOf(options).then((key) =>
    readArtifact({
      destination: place.destination,
      artifact: {
        name: record.file,
        role: 'base',
        tool: null,
        bytes: record.object.bytes,
        sha256: record.object.sha256,
        objects: [record.object],
      },
      key,
      context: { installation: record.installationId, backup: record.chainId },
      signal,
    }),
  );
}

async function openKeyOf({
  record,
  openKey,
}: {
  record: SliceRecord;
  openKey: KeyOpener;
}): Promise<WrappingKey | null> {
  if (record.encryption === null) return null;
  return await openKey(record.encryption.keyId, record.encryption.sealedKey);
}
