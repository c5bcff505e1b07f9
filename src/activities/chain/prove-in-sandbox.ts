import { chmod, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { findSandboxProof, noteSandboxProof, requireAttachRun } from '../../catalog/runs/attach-run.js';
import { readPlanInput } from '../../catalog/runs/recovery-window.js';
import type { EngineKind } from '../../domain/engine-kinds.js';
import { TidemarkError } from '../../domain/errors.js';
import type { Sandbox } from '../../engines/chain-engine.js';
import { getChainEngine } from '../../engines/chain-registry.js';
import { requireRecovered } from '../../recovery/deliver-from-sandbox.js';
import { recoverableBackup } from '../../recovery/recover-range.js';
import { backupOwner } from '../../storage/layout.js';
import { readManifest } from '../../storage/read-manifest.js';
import type { Activities } from '../../workflows/activity-types.js';
import type { ActivityDeps } from '../deps.js';
import { engineContext, keyOpener, openStore } from '../open-run.js';
import { requireSandboxSpace } from '../recovery/prepare-recovery.js';
import type { Step } from '../run-step.js';
import { runStep } from '../run-step.js';

/**
 * Opens the newest full of an attachment's chain in a sandbox here and finds the database in it: that this worker can open the server is
 * known now, not on the day of the disaster. Once per chain; a further database of the server shares the proof.
 */
export function proveInSandbox(deps: ActivityDeps): Activities['proveInSandbox'] {
  return ({ attachmentId }) =>
    runStep(deps, 'prove-in-sandbox', async (step) => {
      const row = await requireAttachRun(deps.catalog, attachmentId);
      const before = await findSandboxProof(deps.catalog, row.chain.id);
      if (before !== null) {
        await noteSandboxProof(deps.catalog, attachmentId, before);
        return { databases: 0 };
      }
      const full = await findNewestFull(deps, row.chain.id);
      const engine = getChainEngine(row.database.engine as EngineKind);
      const databases = await inSandbox(deps, step, full, engine.recover, (sandbox) => {
        requireRecovered(sandbox, row.database.database);
        return sandbox.databases.length;
      });
      await noteSandboxProof(deps.catalog, attachmentId, new Date());
      return { databases };
    });
}

async function findNewestFull(deps: ActivityDeps, chainId: string) {
  const { backups } = await readPlanInput(deps.catalog, chainId);
  const newest = backups.filter(({ kind, damaged }) => kind === 'full' && !damaged).at(-1);
  const row =
    newest === undefined
      ? null
      : await deps.catalog.prisma.backup.findUnique({ where: { id: newest.id }, include: { destination: true } });
  if (row === null || row.chainId === null) {
    throw new TidemarkError('backup_not_restorable', `The chain ${chainId} has no full to open.`, { object: chainId });
  }
  return { ...row, chainId: row.chainId };
}

type Full = Awaited<ReturnType<typeof findNewestFull>>;
type Recover = ReturnType<typeof getChainEngine>['recover'];

async function inSandbox<T>(
  deps: ActivityDeps,
  step: Step,
  full: Full,
  recover: Recover,
  look: (sandbox: Sandbox) => T,
): Promise<T> {
  const target = { kind: 'end_of_backup' } as const;
  await requireSandboxSpace(deps, full.chainId, { backupIds: [full.id], target, log: null });
  const destination = await openStore(deps, full.destination);
  // Short: a socket lies below.
  const dir = join(deps.options.sandboxRoot, `${full.id.slice(-8)}-p${Date.now().toString(36)}`);
  try {
    await mkdir(dir, { recursive: true });
    await chmod(dir, 0o711);
    const logDir = join(dir, 'log');
    await mkdir(logDir);
    const verified = await readManifest({
      destination,
      ownerId: backupOwner(full),
      backupId: full.id,
      openKey: keyOpener(deps),
      signal: step.signal,
    });
    const { engine, identity, version, major } = verified.manifest.source;
    const sandbox = await recover(engineContext(deps, step), {
      dir,
      server: { engine, identity, version, major },
      backups: [recoverableBackup(destination, verified)],
      logDir,
      logFiles: [],
      logEnd: null,
      target,
      onPhase: (phase) => step.report({ step: 'prove-in-sandbox', phase }),
    });
    try {
      return look(sandbox);
    } finally {
      await sandbox.close();
    }
  } finally {
    destination.close();
    await rm(dir, { recursive: true, force: true });
  }
}
