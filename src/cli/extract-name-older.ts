import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { Destination } from '../storage/destination.js';
import type { FoundBackup } from '../storage/list-backups.js';
import type { Manifest } from '../storage/manifest.js';
import type { VerifiedManifest } from '../storage/read-manifest.js';
import { verifySizes } from '../storage/verify-artifact.js';

/**
 * The error of a backup that is damaged, with the next older one of the same content to ask for instead. A backup that was asked for by its id
 * has no substitute: another one holds another moment, and whether that will do is for the asker to say.
 */
export async function withOlder(
  error: TidemarkError,
  look: {
    readonly wanted: FoundBackup;
    readonly found: readonly FoundBackup[];
    readonly read: (found: FoundBackup) => Promise<VerifiedManifest>;
    readonly destination: Destination;
    readonly signal: AbortSignal;
  },
): Promise<TidemarkError> {
  const { wanted, found, read, destination, signal } = look;
  const ofSame = found.filter(({ ownerId, backupId }) => ownerId === wanted.ownerId && backupId !== wanted.backupId);
  const asked = await read(wanted).catch(unreadable);
  const before = asked?.manifest.takenAt ?? wanted.modifiedAt;
  const older: Manifest[] = [];
  for (const one of ofSame) {
    const manifest = (await read(one).catch(unreadable))?.manifest;
    // An incremental is of use with all that it is built on only: a full is.
    if (manifest === undefined || manifest.kind === 'incremental' || manifest.takenAt >= before) continue;
    if (manifest.chain?.policyId === asked?.manifest.chain?.policyId || asked === null) older.push(manifest);
  }
  older.sort((a, b) => b.takenAt.localeCompare(a.takenAt));
  for (const { backupId, takenAt, kind, artifacts } of older) {
    const isThere = await verifySizes({ destination, artifacts, signal }).then(() => true, unreadable);
    if (isThere === null) continue;
    return said(error, `The next older ${kind} is ${backupId} of ${takenAt}: give --backup ${backupId} for it.`);
  }
  return said(error, 'There is no older one in the destination.');
}

/** Damaged itself, or of a key that is not at hand. */
function unreadable(error: unknown): null {
  if (!isTidemarkError(error)) throw error;
  return null;
}

const said = (error: TidemarkError, more: string) =>
  new TidemarkError(error.code, `${error.message} ${more}`, error.details, { cause: error });
