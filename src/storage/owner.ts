import { z } from 'zod';
import { isTidemarkError, TidemarkError } from '../domain/errors.js';
import type { Destination } from './destination.js';
import { ownerKey } from './layout.js';
import { readSmallObject } from './read-small-object.js';

const ownerSchema = z.object({
  format: z.literal('tidemark-owner-1'),
  installationId: z.string(),
  claimedAt: z.string(),
  /** Installations that wrote here before. */
  previous: z.array(z.object({ installationId: z.string(), until: z.string() })),
});
export type Owner = z.infer<typeof ownerSchema>;

type Options = { readonly destination: Destination; readonly signal: AbortSignal };

/** Who writes to this destination, or null when nobody has yet. Throws `object_corrupt` when owner.json is not readable. */
export async function readOwner({ destination, signal }: Options): Promise<Owner | null> {
  let text: string;
  try {
    text = (await readSmallObject(destination, ownerKey, signal)).toString('utf8');
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'object_missing') return null;
    throw error;
  }
  try {
    return ownerSchema.parse(JSON.parse(text));
  } catch {
    throw new TidemarkError('object_corrupt', `${ownerKey} in ${destination.location} is not readable.`, {
      object: ownerKey,
    });
  }
}

/**
 * For a directory that is known to be claimed. Throws `destination_not_mounted` when its owner.json is not there: the folder under a share
 * that is not mounted looks like a new destination, and writing there would fill another disk.
 */
export async function requireOwner(options: Options): Promise<void> {
  if ((await readOwner(options)) !== null) return;
  const { location } = options.destination;
  throw new TidemarkError(
    'destination_not_mounted',
    `${location} was in use already, and now its ${ownerKey} is missing: the disk or share that belongs there seems not to be mounted. Nothing was written.`,
    { object: location },
  );
}

/**
 * Refuses to change what another installation writes: throws `destination_owned_by_other`. A destination without an owner passes. Call it
 * before anything is removed; an installation that only imported a destination reads it and no more, until it takes over.
 */
export async function assertNotForeign(options: Options & { readonly installationId: string }): Promise<void> {
  const owner = await readOwner(options);
  if (owner !== null && owner.installationId !== options.installationId) throw ownedByOther(options.destination, owner);
}

/**
 * Makes this installation the writer of the destination, or checks that it is; call it before an attempt writes. Of two installations
 * that claim at once one wins. Throws `destination_owned_by_other`, naming the other, unless `takeover` is set: then ownership changes,
 * what the other wrote stays and is never swept.
 */
export async function claimDestination(
  options: Options & { readonly installationId: string; readonly takeover?: boolean },
): Promise<void> {
  const { destination, signal, installationId } = options;
  const found = await readOwner(options);
  if (found?.installationId === installationId) return;
  const now = new Date().toISOString();
  if (found && !options.takeover) throw ownedByOther(destination, found);
  const owner: Owner = {
    format: 'tidemark-owner-1',
    installationId,
    claimedAt: now,
    previous: found ? [...found.previous, { installationId: found.installationId, until: now }] : [],
  };
  const body = Buffer.from(`${JSON.stringify(owner, null, 2)}\n`, 'utf8');
  try {
    await destination.put(ownerKey, body, { signal, ifAbsent: found === null });
  } catch (error) {
    if (!isTidemarkError(error) || error.code !== 'manifest_exists') throw error;
    const winner = await readOwner(options);
    if (winner?.installationId === installationId) return;
    throw winner ? ownedByOther(destination, winner) : error;
  }
}

function ownedByOther(destination: Destination, owner: Owner): TidemarkError {
  return new TidemarkError(
    'destination_owned_by_other',
    `${destination.location} is written by installation ${owner.installationId} since ${owner.claimedAt}.`,
    { object: destination.location, references: [owner.installationId] },
  );
}
