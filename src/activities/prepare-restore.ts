import { raiseRestoreToken, readRestoreRun, writeRestoreFacts } from '../catalog/runs/restore-run.js';
import { readJournal } from '../catalog/runs/swap-journal.js';
import { TidemarkError } from '../domain/errors.js';
import { assertNotOriginal, assertSpace, decideWay, estimateSpace } from '../recovery/decide-way.js';
import { verifyArtifacts as verify } from '../storage/verify-artifact.js';
import type { Activities } from '../workflows/activity-types.js';
import { toResult } from './begin-attempt.js';
import type { ActivityDeps } from './deps.js';
import { beginRestoreStep, dumpParts, restoreMeter, withSource, withTarget } from './open-restore.js';
import { needsRecovery, prepareRecovery } from './recovery/prepare-recovery.js';
import { runStep } from './run-step.js';

/** Authenticates the manifest, looks at the target, decides the way, and refuses what cannot or may not be done: nothing is written yet. */
export function prepareRestore(deps: ActivityDeps): Activities['prepareRestore'] {
  return ({ restoreId }) =>
    runStep(deps, 'prepare-restore', async (step) => {
      const start = await raiseRestoreToken(deps.catalog, restoreId);
      if (start.state === 'settled') return { state: 'settled', result: toResult(start) };
      const run = await readRestoreRun(deps.catalog, restoreId);
      const journal = await readJournal(deps.catalog, restoreId, 'swap');
      // In place already, whatever was wished afterwards.
      if (journal?.state === 'done') return { state: 'swapping' };
      if (run.cancelRequestedAt !== null) throw new TidemarkError('cancelled', 'The restore was cancelled.');
      if (journal?.state === 'open') return { state: 'swapping' };
      await writeRestoreFacts(deps.catalog, restoreId, start.token, {
        progress: { phase: 'checking', bytes: 0, percent: 0 },
      });
      if (needsRecovery(run)) return await prepareRecovery(deps, step, run, start.token);
      return await withSource(deps, step, run, async ({ manifest }) => {
        const bytes = dumpParts(manifest).reduce((sum, artifact) => sum + artifact.bytes, 0);
        const content = run.backup.content as { databaseBytes?: number } | null;
        const estimatedBytes = estimateSpace({ dumpBytes: bytes, databaseBytes: content?.databaseBytes ?? null });
        return await withTarget(deps, step, run, start.token, async (session) => {
          const found = await session.inspect(run.targetName);
          const way = decideWay({ name: run.targetName, overwrite: run.overwrite }, found);
          const { targetName: name, mayReplaceOriginal } = run;
          const { database } = run.backup;
          assertNotOriginal({ name, identity: session.server.identity, mayReplaceOriginal }, found, [
            manifest.source,
            // Since the backup the database may have been moved to another server.
            { identity: database.server?.identity ?? null, database: database.database },
          ]);
          assertSpace(run.targetName, estimatedBytes, found.freeBytes);
          await writeRestoreFacts(deps.catalog, restoreId, start.token, { way });
          return {
            state: 'ready',
            way,
            targetExists: found.exists,
            bytes,
            estimatedBytes,
            place: `${run.targetName} on ${run.targetHost}:${run.targetPort}`,
          };
        });
      });
    });
}

/** Reads every stored object against the manifest's sizes and hashes, before the target is touched. */
export function verifyArtifacts(deps: ActivityDeps): Activities['verifyArtifacts'] {
  return ({ restoreId }) =>
    runStep(deps, 'verify-artifacts', async (step) => {
      const { run, token } = await beginRestoreStep(deps, restoreId);
      return await withSource(deps, step, run, async ({ manifest, destination }) => {
        const objects = manifest.artifacts.flatMap((artifact) => artifact.objects);
        const storedBytes = objects.reduce((sum, object) => sum + object.storedBytes, 0);
        const meter = restoreMeter(deps, step, run, token, 'verify');
        meter.enter('verifying', storedBytes);
        await verify({
          destination,
          artifacts: manifest.artifacts,
          signal: step.signal,
          onBytes: (bytes) => meter.set(bytes),
        });
        await meter.flush();
        return { objects: objects.length, storedBytes };
      });
    });
}
