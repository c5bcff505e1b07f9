import { noteBackupDamage, noteSliceDamage } from '../../catalog/runs/note-damage.js';
import { noteEvent } from '../../catalog/runs/note-event.js';
import { settlePitr } from '../../catalog/runs/present-full.js';
import type { RestoreRun } from '../../catalog/runs/restore-run.js';
import type { RecoveryPlan } from '../../domain/recovery-plan.js';
import type { RestoreNote } from '../../domain/schemas/restores.js';
import { damagedBackup } from '../../recovery/pass-over.js';
import { isDamage } from '../../storage/is-damage.js';
import { readManifest } from '../../storage/read-manifest.js';
import { verifySizes } from '../../storage/verify-artifact.js';
import type { ActivityDeps } from '../deps.js';
import { keyOpener, openStore } from '../open-run.js';
import type { Step } from '../run-step.js';

/** Looks at every backup of a plan: is its manifest genuine, is every object there in its size? Throws what is wrong; nothing is read whole. */
export async function inspectBackups(
  deps: ActivityDeps,
  step: Step,
  run: RestoreRun,
  plan: RecoveryPlan,
): Promise<void> {
  const destination = await openStore(deps, run.backup.destination);
  const { signal } = step;
  try {
    for (const backupId of plan.backupIds) {
      const ownerId = run.backup.serverId ?? run.backup.databaseId;
      const { manifest } = await readManifest({ destination, ownerId, backupId, openKey: keyOpener(deps), signal });
      await verifySizes({ destination, artifacts: manifest.artifacts, signal });
    }
  } finally {
    destination.close();
  }
}

/**
 * What a plan reads was found damaged: notes it, so that nothing is planned with it any more, and tells people once. Answers what a restore
 * says that goes another way; null when `error` says nothing of a backup, so that there is no other way.
 */
export async function noteDamage(
  deps: ActivityDeps,
  run: RestoreRun,
  chainId: string,
  plan: RecoveryPlan,
  error: unknown,
): Promise<RestoreNote | null> {
  if (!isDamage(error)) return null;
  const { code, message, details } = error;
  const key = details.object ?? '';
  if (await noteSliceDamage(deps.catalog, chainId, key, { code, message })) {
    await tell(deps, run, { what: `a part of the archived log (${key})`, id: key, why: message });
    await settlePitr(deps.catalog, chainId, `The stored log has a hole. ${message}`);
    return null;
  }
  const backupId = damagedBackup(error, plan.backupIds);
  if (backupId === null) return null;
  await noteBackupDamage(deps.catalog, backupId, { code, message });
  await tell(deps, run, { what: `the backup ${backupId}`, id: backupId, why: message, backupId });
  await settlePitr(deps.catalog, chainId, `The backup ${backupId} is damaged. ${message}`);
  return { code: 'backup_damaged', message: `The backup ${backupId} is damaged and was passed over. ${message}` };
}

async function tell(
  deps: ActivityDeps,
  run: RestoreRun,
  found: { readonly what: string; readonly id: string; readonly why: string; readonly backupId?: string },
): Promise<void> {
  const { policyId, destination, server } = run.backup;
  await noteEvent(deps.catalog, {
    event: 'backup_damaged',
    dedupeKey: `backup_damaged/${found.id}`,
    ...(policyId === null ? {} : { policyId }),
    databaseId: run.databaseId,
    ...(found.backupId === undefined ? {} : { backupId: found.backupId }),
    what: `The restore ${run.id} found ${found.what} of ${server?.identity ?? run.database.name} damaged in ${destination.name}. Points in time are not recovered with it any more.`,
    why: found.why,
    nextStep:
      'Look at the recovery window, which may have become shorter. Take a full now, and find out what changed the stored objects: nothing of Tidemark ever does.',
  });
}
