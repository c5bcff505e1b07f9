import type { ErrorCode } from '../../domain/errors.js';
import { isTidemarkError, TidemarkError } from '../../domain/errors.js';
import type { KeyOpener } from '../../keys/key-opener.js';
import type { WrappingKey } from '../../keys/types.js';
import type { Destination } from '../../storage/destination.js';
import { manifestKey } from '../../storage/layout.js';
import type { Manifest } from '../../storage/manifest.js';
import { readSliceRecord } from '../../storage/read-log-slice.js';
import { readManifest } from '../../storage/read-manifest.js';
import type { StoredSlice } from '../../storage/slice-record.js';
import { surveyStore } from '../../storage/survey-store.js';

/** What could not be authenticated; the rest goes on without it. */
export type Refused = { readonly object: string; readonly code: ErrorCode; readonly message: string };

export type StoreContents = {
  readonly manifests: readonly Manifest[];
  /** Of the log only what was asked for by `isKnown`. */
  readonly slices: readonly StoredSlice[];
  readonly knownSlices: number;
  /** Every key that opened something. */
  readonly keys: readonly WrappingKey[];
  readonly refused: readonly Refused[];
};

const AT_ONCE = 8;

/** About the one object, not about the store: a store that does not answer ends the import. */
const ofOneObject: readonly ErrorCode[] = ['manifest_forged', 'manifest_missing', 'wrong_master_key', 'key_missing'];

/**
 * Reads and authenticates every manifest of a destination and every record of its logs that `findKnown` does not know. Throws
 * `wrong_master_key` when there is something and not one of it can be opened with the key at hand.
 */
export async function readContents(options: {
  readonly destination: Destination;
  readonly openKey: KeyOpener;
  readonly findKnown: (recordKeys: readonly string[]) => Promise<ReadonlySet<string>>;
  readonly signal: AbortSignal;
}): Promise<StoreContents> {
  const { destination, signal, findKnown } = options;
  const found = await surveyStore({ destination, signal });
  const known = await findKnown(found.slices.map(({ recordKey }) => recordKey));
  const unknown = found.slices.filter(({ recordKey }) => !known.has(recordKey));
  const keys = new Map<string, WrappingKey>();
  const openKey = remembering(options.openKey, keys);
  const refused: Refused[] = [];
  const orRefuse = async <T>(object: string, read: () => Promise<T>): Promise<T | null> => {
    try {
      return await read();
    } catch (error) {
      if (!isTidemarkError(error) || !ofOneObject.includes(error.code)) throw error;
      refused.push({ object, code: error.code, message: error.message });
      return null;
    }
  };

  const manifests = await mapSome(found.backups, async (backup) => {
    const at = manifestKey(backup.ownerId, backup.backupId);
    const verified = await orRefuse(at, () => readManifest({ destination, ...backup, openKey, signal }));
    return verified?.manifest ?? null;
  });
  const slices = await mapSome(unknown, ({ place, recordKey }) =>
    orRefuse(recordKey, () => readSliceRecord({ place, recordKey, openKey, signal })),
  );
  if (keys.size === 0 && refused.some(({ code }) => code === 'wrong_master_key')) {
    throw new TidemarkError(
      'wrong_master_key',
      `Nothing in ${destination.location} opens with this master key: its ${found.backups.length} backup(s) were sealed under another one. ` +
        'Nothing was imported. Give the master key of the installation that wrote them with --master-key FILE.',
      { object: destination.location },
    );
  }
  return { manifests, slices, knownSlices: known.size, keys: [...keys.values()], refused };
}

/** Opening a key costs more than reading what it authenticates, and an archive has one key for thousands of records. */
function remembering(open: KeyOpener, keys: Map<string, WrappingKey>): KeyOpener {
  const opened = new Map<string, Promise<WrappingKey>>();
  return async (keyId, sealedKey) => {
    const name = `${keyId} ${sealedKey}`;
    const opening = opened.get(name) ?? open(keyId, sealedKey);
    opened.set(name, opening);
    const key = await opening;
    keys.set(keyId, key);
    return key;
  };
}

/** Some at a time: one by one, an archive far away would take hours. Answers keep their order; nulls are left out. */
async function mapSome<T, R>(items: readonly T[], act: (item: T) => Promise<R | null>): Promise<R[]> {
  const results: (R | null)[] = [];
  const queue = items.entries();
  const work = async () => {
    for (const [index, item] of queue) results[index] = await act(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results.filter((result) => result !== null);
}
