import { setTimeout as sleep } from 'node:timers/promises';
import type { ErrorCode } from '../../domain/errors.js';
import { errorTable, isErrorCode, TidemarkError } from '../../domain/errors.js';
import type { BackupStatus } from '../../domain/statuses.js';
import { isActive } from '../../domain/statuses.js';
import type { Activities, RunError } from '../../workflows/activity-types.js';
import type { RunResult } from '../../workflows/messages.js';
import type { ActivityDeps } from '../deps.js';
import type { Step } from '../run-step.js';
import { runStep } from '../run-step.js';

const LOOK_MS = 2_000;
/** A receiver has to come about in this time; one that does later makes PITR active with the next full. */
const ARCHIVE_MS = 3 * 60_000;
const STOP_MS = 5 * 60_000;
const BACKUP_MS = 30 * 60_000;

/** Repeats `look` until it gives something else than undefined; undefined when the time is over. */
async function watch<T>(step: Step, ms: number, look: () => Promise<T | undefined>): Promise<T | undefined> {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found !== undefined || Date.now() > end) return found;
    await sleep(LOOK_MS, undefined, { signal: step.signal });
  }
}

/** Waits until the archive covers something of the present epoch, later than what it covered at the beginning. */
export function awaitArchive(deps: ActivityDeps): Activities['awaitArchive'] {
  return ({ chainId }) =>
    runStep(deps, 'await-archive', async (step) => {
      const before = await readChain(deps, chainId);
      const covered = await watch(step, ARCHIVE_MS, async () => {
        const now = await readChain(deps, chainId);
        const moved = now.coveredTo !== null && now.coveredTo.getTime() !== before.coveredTo?.getTime();
        return now.archiveStatus === 'following' && moved ? true : undefined;
      });
      if (covered !== undefined) return null;
      const { archiveError } = await readChain(deps, chainId);
      return toRunError(archiveError) ?? { code: 'log_not_kept', message: 'The log archive did not begin in time.' };
    });
}

export function awaitArchiveStopped(deps: ActivityDeps): Activities['awaitArchiveStopped'] {
  return ({ chainId }) =>
    runStep(deps, 'await-archive-stopped', async (step) => {
      const stopped = await watch(step, STOP_MS, async () => {
        const { archiveStatus, archiveWanted } = await readChain(deps, chainId);
        // Another database of the server was attached meanwhile: it goes on for that one, and nothing is to be released under it.
        if (archiveWanted) return true;
        return archiveStatus === 'stopped' || archiveStatus === 'off' ? true : undefined;
      });
      return { stopped: stopped ?? false };
    });
}

/** Waits for a run's result. */
export function awaitBackup(deps: ActivityDeps): Activities['awaitBackup'] {
  return ({ backupId }) =>
    runStep(deps, 'await-backup', async (step) => {
      const settled = await watch(step, BACKUP_MS, async () => {
        const row = await deps.catalog.prisma.backup.findUnique({ where: { id: backupId } });
        if (row === null) {
          throw new TidemarkError('not_found', `There is no backup ${backupId}.`, { object: backupId });
        }
        if (isActive(row.status as BackupStatus)) return undefined;
        const error = toRunError(row.error);
        return {
          status: row.status as RunResult['status'],
          code: error?.code ?? null,
          message: error?.message ?? null,
        };
      });
      return settled ?? null;
    });
}

async function readChain(deps: ActivityDeps, chainId: string) {
  return await deps.catalog.prisma.chain.findUniqueOrThrow({ where: { id: chainId } });
}

/** An error as it stands on a row. */
export function toRunError(recorded: unknown): RunError | null {
  if (typeof recorded !== 'object' || recorded === null || !('code' in recorded)) return null;
  const code: ErrorCode = isErrorCode(String(recorded.code)) ? (String(recorded.code) as ErrorCode) : 'internal';
  const message = 'message' in recorded ? String(recorded.message) : errorTable[code].title;
  return { code, message };
}
