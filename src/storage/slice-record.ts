import { createHash } from 'node:crypto';
import { z } from 'zod';
import { TidemarkError } from '../domain/errors.js';
import { logPositionSchema, serverIdentitySchema } from '../domain/positions.js';
import { manifestMac } from '../keys/derive-key.js';
import type { WrappingKey } from '../keys/types.js';
import { canonicalJson } from './canonical-json.js';
import type { Destination } from './destination.js';
import { sliceName, slicePrefix } from './layout.js';
import { storedObjectSchema } from './manifest.js';

/**
 * The record of a log slice (design section 3): written after its object, under a name made of its numbers alone, so that of two writers
 * of the same number the store lets one win. `mac` as in a manifest.
 */
export const sliceRecordSchema = z.object({
  format: z.literal('tidemark-slice-1'),
  installationId: z.string(),
  serverId: z.string(),
  policyId: z.string(),
  chainId: z.string(),
  epoch: z.number().int().nonnegative(),
  /** First and last number that the bytes stand for; equal unless the slice replaces smaller ones. */
  fromSeq: z.number().int().positive(),
  seq: z.number().int().positive(),
  source: serverIdentitySchema,
  /** The source's log file, and where in it the bytes begin. */
  file: z.string().min(1),
  offset: z.number().int().nonnegative(),
  endsFile: z.boolean(),
  startPosition: logPositionSchema,
  endPosition: logPositionSchema,
  firstCommitAt: z.string().nullable(),
  lastCommitAt: z.string().nullable(),
  /** Source's clock: with this slice everything committed before it is stored. */
  coversTo: z.string().nullable(),
  /** SHA-256 of the record of number `fromSeq - 1`; null for the first of an epoch. */
  previous: z.string().nullable(),
  /** Of a slice that replaces others: SHA-256 of the record of number `seq` that it replaced, which the next one names. */
  tail: z.string().nullable(),
  object: storedObjectSchema,
  encryption: z.object({ suite: z.string(), keyId: z.string(), sealedKey: z.string() }).nullable(),
  macKey: z.object({ keyId: z.string(), sealedKey: z.string() }),
  mac: z.string(),
});
export type SliceRecord = z.infer<typeof sliceRecordSchema>;

/** A record as it lies in the store. */
export type StoredSlice = { readonly record: SliceRecord; readonly recordKey: string; readonly recordSha256: string };

/** One epoch of one server's log archive in a destination. */
export type SlicePlace = {
  readonly destination: Destination;
  readonly serverId: string;
  readonly policyId: string;
  readonly epoch: number;
};

export type SliceKeys = {
  /** Encrypts the objects; null: the policy does not. */
  readonly encryption: WrappingKey | null;
  /** Authenticates the records. */
  readonly manifest: WrappingKey;
  /** `manifest` sealed under the master key. */
  readonly sealed: string;
};

const number = (seq: number) => String(seq).padStart(10, '0');

export const placePrefix = (place: Omit<SlicePlace, 'destination'>) =>
  slicePrefix(place.serverId, place.policyId, place.epoch);

/** `<seq>.json`; of a slice that replaces others `<fromSeq>-<seq>.json`. */
export function sliceRecordKey(place: Omit<SlicePlace, 'destination'>, fromSeq: number, seq: number): string {
  const name = fromSeq === seq ? number(seq) : `${number(fromSeq)}-${number(seq)}`;
  return `${placePrefix(place)}/${name}.json`;
}

/** The numbers in a record's key, or null for what is not one. */
export function parseSliceRecordKey(key: string): { fromSeq: number; seq: number } | null {
  const match = /\/(\d{10})(?:-(\d{10}))?\.json$/.exec(key);
  if (!match?.[1]) return null;
  return { fromSeq: Number(match[1]), seq: Number(match[2] ?? match[1]) };
}

/**
 * Name of a slice's object, without suffix. `writer` keeps two writers of the same bytes apart: encrypted twice they differ, and a record
 * must never name what another one has written since.
 */
export function sliceObjectName(
  slice: { seq: number; file: string; offset: number; bytes: number },
  writer: string,
): string {
  const file = slice.file.replace(/[^A-Za-z0-9._-]/g, '_');
  return `${sliceName(slice.seq, file, slice.offset, slice.offset + slice.bytes)}.${writer}`;
}

export function sealSliceRecord(content: Omit<SliceRecord, 'mac' | 'macKey'>, keys: SliceKeys): SliceRecord {
  const unsigned = { ...content, macKey: { keyId: keys.manifest.id, sealedKey: keys.sealed } };
  return sliceRecordSchema.parse({ ...unsigned, mac: manifestMac(keys.manifest, canonicalJson(unsigned)) });
}

export const sha256Of = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** What the next slice names as its `previous`. */
export const tailOf = (slice: StoredSlice) => slice.record.tail ?? slice.recordSha256;

export function forgedSlice(at: string, why: string): TidemarkError {
  return new TidemarkError('manifest_forged', `The slice record ${at} is not the one that was written: ${why}.`, {
    object: at,
  });
}
