import { Transform } from 'node:stream';
import { noteOnRestore } from '../catalog/runs/note-on-restore.js';
import type { RestoreRun } from '../catalog/runs/restore-run.js';
import {
  forgetStaging,
  raiseTokenForAftermath,
  readRestoreRun,
  recordBackupProof,
  writeRestoreFacts,
} from '../catalog/runs/restore-run.js';
import { TidemarkError } from '../domain/errors.js';
import type { Fingerprint } from '../domain/fingerprint.js';
import type { ProofLevel } from '../domain/statuses.js';
import type { RestoreSession } from '../engines/engine.js';
import type { Comparison } from '../recovery/compare.js';
import { compareRestored, nameDifferences } from '../recovery/compare.js';
import type { Activities } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import type { BackupSource } from './open-restore.js';
import {
  beginRestoreStep,
  dumpParts,
  openArtifact,
  readSourceFingerprint,
  restoreMeter,
  withSource,
  withTarget,
} from './open-restore.js';
import type { ProgressMeter } from './progress.js';
import { runStep } from './run-step.js';

/** Builds the restored content beside the target (or, the direct way, in the empty target). A new try starts over in a staging database of its own. */
export function buildStaging(deps: ActivityDeps): Activities['buildStaging'] {
  return ({ restoreId }) =>
    runStep(deps, 'build-staging', async (step) => {
      const { run, token } = await beginRestoreStep(deps, restoreId);
      return await withSource(deps, step, run, async (source) => {
        const like = await readSourceFingerprint(source, step.signal);
        return await withTarget(deps, step, run, token, async (session) => {
          const meter = restoreMeter(deps, step, run, token, 'load');
          const total = dumpParts(source.manifest).reduce((sum, artifact) => sum + artifact.bytes, 0);
          const fitted = await fitToTarget(deps, run, token, session, like);
          const name = await makePlace(deps, run, token, session, fitted);
          meter.enter('loading', total);
          const parts = countedParts(deps, source, step.signal, meter);
          await session.load(name, parts);
          await meter.flush();
          await deps.faults.reach('loaded');
          return { stagingName: name };
        });
      });
    });
}

/** What the target can hold of the content: to be asked in each session that loads or compares. What it cannot hold stands on the restore. */
export async function fitToTarget<Print extends Fingerprint | null>(
  deps: ActivityDeps,
  run: RestoreRun,
  token: number,
  session: RestoreSession,
  like: Print,
): Promise<Print | Fingerprint> {
  if (like === null || session.fit === undefined) return like;
  const { like: fitted, notes } = await session.fit(like);
  if (notes.length > 0) await noteOnRestore(deps.catalog, run.id, token, notes);
  return fitted;
}

/** The database to load into: a new staging database, or the target itself, which must be empty. */
export async function makePlace(
  deps: ActivityDeps,
  run: RestoreRun,
  token: number,
  session: RestoreSession,
  like: Fingerprint | null,
): Promise<string> {
  const { id: restoreId, targetName } = run;
  if (run.way !== 'staged') {
    const found = await session.inspect(targetName);
    if (!found.empty) throw notEmptyAnyMore(targetName);
    return targetName;
  }
  // Noted before it exists: a crash right after its creation must not leave a database that nobody looks for.
  const noted = { stagingName: `tm_stage_${restoreId}_${token}` };
  if (!(await writeRestoreFacts(deps.catalog, restoreId, token, noted))) throw fenced(restoreId);
  const name = await session.createStaging(like);
  await writeRestoreFacts(deps.catalog, restoreId, token, { stagingName: name });
  return name;
}

/** A try that wakes after its restore was settled would make a database that nobody drops. */
function fenced(restoreId: string): TidemarkError {
  return new TidemarkError('fenced', `A newer attempt of ${restoreId} has taken over, or it is settled.`, {
    object: restoreId,
  });
}

function notEmptyAnyMore(name: string): TidemarkError {
  return new TidemarkError(
    'target_not_empty',
    `The database ${name} is not empty: an earlier try of this restore may have loaded a part of it. Empty it and restore again.`,
    { object: name },
  );
}

function countedParts(deps: ActivityDeps, source: BackupSource, signal: AbortSignal, meter: ProgressMeter) {
  let done = 0;
  return dumpParts(source.manifest).map((artifact) => ({
    name: artifact.name,
    open: async () => {
      const plain = await openArtifact(source, artifact, signal);
      let first = true;
      const counted = new Transform({
        transform(chunk: Buffer, _encoding, callback) {
          done += chunk.length;
          meter.set(done);
          const pause = first ? deps.faults.reach('loading', signal) : Promise.resolve();
          first = false;
          pause.then(() => callback(null, chunk), callback);
        },
      });
      // Not `pipe`: an object that turns out corrupt at its end must fail the load, not end it.
      plain.on('error', (error) => counted.destroy(error));
      counted.on('close', () => plain.destroy());
      return plain.pipe(counted);
    },
  }));
}

/** Compares what was built with the fingerprint that the backup carries, before anything is put in place. */
export function compareStaging(deps: ActivityDeps): Activities['compareStaging'] {
  return ({ restoreId }) =>
    runStep(deps, 'compare-staging', async (step) => {
      const { run, token } = await beginRestoreStep(deps, restoreId);
      return await withSource(deps, step, run, async (source) => {
        const expected = await readSourceFingerprint(source, step.signal);
        return await withTarget(deps, step, run, token, async (session) => {
          const meter = restoreMeter(deps, step, run, token, 'compare');
          meter.enter('comparing', null);
          const fitted = await fitToTarget(deps, run, token, session, expected);
          const name = run.way === 'direct' ? run.targetName : (run.stagingName ?? '');
          const found = await session.fingerprint(name, (done, total) => meter.setShare(done, total));
          await meter.flush();
          const comparison = compareRestored(fitted, found);
          await judge(deps, run, token, comparison, comparison.proof);
          const { proof, tables, rows } = comparison;
          return { proof, tables, rows };
        });
      });
    });
}

/** Records what the comparison says; throws `restore_mismatch` unless all is equal. `proof` is what equality proves. */
export async function judge(
  deps: ActivityDeps,
  run: RestoreRun,
  token: number,
  comparison: Comparison,
  proof: ProofLevel,
): Promise<void> {
  const { equal, tables, rows, differences } = comparison;
  await writeRestoreFacts(deps.catalog, run.id, token, {
    comparison: { equal, tables, rows, differences },
    ...(equal ? { proof } : {}),
  });
  if (!equal) {
    const where =
      run.way === 'direct'
        ? `It was loaded into ${run.targetName} itself, which was empty and now holds it.`
        : 'The target was not touched.';
    throw new TidemarkError(
      'restore_mismatch',
      `What was restored differs from the backup in ${comparison.total} place(s): ${nameDifferences(comparison)}. ${where}`,
      { object: run.targetName },
    );
  }
  await recordBackupProof(deps.catalog, run.backupId, proof);
}

/** Drops what a restore that was not put in place has built. */
export function dropStaging(deps: ActivityDeps): Activities['dropStaging'] {
  return ({ restoreId }) =>
    runStep(deps, 'drop-staging', async (step) => {
      const before = await readRestoreRun(deps.catalog, restoreId);
      if (before.stagingName === null) return;
      const token = await raiseTokenForAftermath(deps.catalog, restoreId);
      await withTarget(deps, step, before, token, (session) => session.dropStaging());
      await forgetStaging(deps.catalog, restoreId);
    });
}
