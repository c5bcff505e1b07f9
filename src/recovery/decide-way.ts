import { TidemarkError } from '../domain/errors.js';
import { isSameServer } from '../domain/same-server.js';
import type { TargetInspection } from '../engines/engine.js';

export type RestoreWay = 'staged' | 'direct';

/**
 * Decides how a restore goes, or refuses it, before anything is written. `staged` builds beside the target and swaps; `direct` loads
 * into an empty target, the only way for a role that may not create databases.
 */
export function decideWay(
  target: { readonly name: string; readonly overwrite: boolean },
  found: TargetInspection,
): RestoreWay {
  const { name, overwrite } = target;
  if (found.exists && !found.empty && !overwrite) {
    const shown = found.objects.slice(0, 5).join(', ');
    throw new TidemarkError(
      'target_not_empty',
      `The database ${name} exists and holds ${shown === '' ? 'objects' : shown}${found.objects.length > 5 ? ' and more' : ''}. Nothing was written.`,
      { object: name, references: found.objects.slice(0, 20) },
    );
  }
  if (found.canCreateDatabase) {
    if (found.outsideTies.length > 0) {
      throw new TidemarkError(
        'target_in_use_outside',
        `Objects outside ${name} are tied to it and would break: ${found.outsideTies.join(', ')}. Nothing was written.`,
        { object: name, references: found.outsideTies },
      );
    }
    return 'staged';
  }
  if (found.exists && found.empty) return 'direct';
  throw new TidemarkError(
    'privilege_missing',
    `The role may not create databases, so that ${name} can only be restored into an empty database that exists already. Nothing was written.`,
    { object: name },
  );
}

export type Original = { readonly identity: string | null; readonly database: string };

/**
 * Refuses to replace the original without its confirmation, whatever address leads there: a second DNS name, a tunnel or a pooler of
 * the same server. The API has compared addresses; here the server has said who it is.
 */
export function assertNotOriginal(
  target: { readonly name: string; readonly identity: string; readonly mayReplaceOriginal: boolean },
  found: Pick<TargetInspection, 'exists' | 'empty'>,
  originals: readonly Original[],
): void {
  if (target.mayReplaceOriginal || !found.exists || found.empty) return;
  const same = originals.some(
    (one) => one.identity !== null && isSameServer(one.identity, target.identity) && one.database === target.name,
  );
  if (!same) return;
  throw new TidemarkError(
    'confirmation_required',
    `The server at that address is the one the backup was taken from (${target.identity}), so ${target.name} is the original database. Nothing was written.`,
    { object: target.name },
  );
}

/**
 * Room that a restore needs on the target, in bytes: the former content stays, so the new one comes on top. Dumps carry no indexes, and
 * loading writes log as well; half as much again has been enough for both.
 */
export function estimateSpace(backup: { readonly dumpBytes: number; readonly databaseBytes: number | null }): number {
  return Math.ceil(Math.max(backup.dumpBytes, backup.databaseBytes ?? 0) * 1.5);
}

/** Refuses a restore for which the target server has no room; a server that does not tell is believed to have it. */
export function assertSpace(name: string, needed: number, free: number | null): void {
  if (free === null || free >= needed) return;
  const mib = (bytes: number) => `${Math.ceil(bytes / 1_048_576)} MiB`;
  throw new TidemarkError(
    'insufficient_space',
    `Restoring ${name} needs about ${mib(needed)}; its server has ${mib(free)} free. Nothing was written.`,
    { object: name },
  );
}
