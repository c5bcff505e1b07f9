import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import { encryptionSuite } from '../keys/encryption-sdk.js';
import { readSliceRecord } from './read-log-slice.js';
import type { SliceKeys, SlicePlace, SliceRecord, StoredSlice } from './slice-record.js';
import { placePrefix, sealSliceRecord, sha256Of, sliceObjectName, sliceRecordKey } from './slice-record.js';
import { writeArtifact } from './write-artifact.js';

/** What a slice is, before it is stored. */
export type SliceContent = Omit<
  SliceRecord,
  'format' | 'installationId' | 'serverId' | 'policyId' | 'epoch' | 'object' | 'encryption' | 'macKey' | 'mac'
> & { readonly bytes: number };

export type WriteLogSlice = {
  readonly place: SlicePlace;
  readonly keys: SliceKeys;
  readonly installationId: string;
  readonly slice: SliceContent;
  /** What is known of it only once its predecessor is durable: asked when the object is stored, and no record is written before it answers. */
  readonly link?: () => Promise<Pick<SliceContent, 'previous' | 'coversTo'>>;
  /** The plain bytes, `slice.bytes` of them. */
  readonly source: Readable;
  readonly signal: AbortSignal;
  /** Called when the object is stored and before the record is: throws `fenced` for a writer that was replaced meanwhile. */
  readonly assertMayPublish: () => Promise<void>;
};

/**
 * Stores a slice: the object through the data path, then its record unless one is there. The same number with the same bytes is a success
 * and answers what stands there (an answer to an earlier try may have been lost); with other bytes it throws `manifest_exists`.
 */
export async function writeLogSlice(options: WriteLogSlice): Promise<StoredSlice> {
  const { place, keys, slice, signal } = options;
  const { bytes, ...content } = slice;
  const artifact = await writeArtifact({
    destination: place.destination,
    keyPrefix: placePrefix(place),
    name: sliceObjectName(slice, randomBytes(4).toString('hex')),
    role: 'base',
    tool: null,
    source: options.source,
    key: keys.encryption,
    context: { installation: options.installationId, backup: slice.chainId },
    signal,
  });
  const [object, ...more] = artifact.objects;
  if (object === undefined || more.length > 0 || object.bytes !== bytes) {
    throw new TidemarkError(
      'object_corrupt',
      `${slice.file}: ${artifact.bytes} bytes came where ${bytes} were announced.`,
    );
  }
  const about = { ...content, ...(await options.link?.()) };
  const record = sealSliceRecord(
    {
      format: 'tidemark-slice-1',
      installationId: options.installationId,
      serverId: place.serverId,
      policyId: place.policyId,
      epoch: place.epoch,
      ...about,
      object,
      encryption:
        keys.encryption === null ? null : { suite: encryptionSuite, keyId: keys.encryption.id, sealedKey: keys.sealed },
    },
    keys,
  );
  const recordKey = sliceRecordKey(place, slice.fromSeq, slice.seq);
  const body = Buffer.from(`${JSON.stringify(record, null, 1)}\n`, 'utf8');
  await options.assertMayPublish();
  try {
    await place.destination.put(recordKey, body, { signal, ifAbsent: true });
  } catch (error) {
    if (!isTidemarkError(error) || error.code !== 'manifest_exists') throw error;
    const standing = await findSame(options, record, recordKey);
    if (standing === null) throw error;
    return standing;
  }
  return { record, recordKey, recordSha256: sha256Of(body) };
}

/** The record that stands there, when it is of the same bytes at the same place of the log. */
async function findSame(options: WriteLogSlice, mine: SliceRecord, recordKey: string): Promise<StoredSlice | null> {
  const { place, keys, signal } = options;
  const openKey = async () => keys.manifest;
  const found = await readSliceRecord({ place, recordKey, openKey, signal });
  const same =
    found !== null &&
    found.record.object.sha256 === mine.object.sha256 &&
    found.record.file === mine.file &&
    found.record.offset === mine.offset &&
    found.record.previous === mine.previous;
  if (!same) return null;
  // Ours is named by nothing; the one that the record names stays.
  if (found.record.object.key !== mine.object.key) {
    await place.destination.remove([mine.object.key], { signal });
  }
  return found;
}
