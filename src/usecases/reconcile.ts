import { tryReconcileLock } from '../catalog/reconcile-rows.js';
import type { UsecaseContext } from './context.js';
import type { Orphans } from './reconcile/end-orphans.js';
import { endOrphans } from './reconcile/end-orphans.js';
import { PassResult } from './reconcile/pass-result.js';
import { reconcileBackups } from './reconcile/reconcile-backups.js';
import { reconcileDeletions } from './reconcile/reconcile-deletions.js';
import { reconcilePolicies } from './reconcile/reconcile-policies.js';
import { reconcileRestores } from './reconcile/reconcile-restores.js';
import { reconcileSchedules } from './reconcile/reconcile-schedules.js';

/** A pass that takes longer gives up its lock; the next one, here or in another process, does the rest. */
const PASS_TIMEOUT_MS = 5 * 60_000;

/**
 * One pass: what the catalog wants and what Temporal does are brought together again, whichever of the two lost its data. Nothing that
 * is stored is ever deleted here. Null when another process holds the lock.
 */
export async function reconcileOnce(context: UsecaseContext, orphans: Orphans = new Map()): Promise<PassResult | null> {
  return await context.catalog.prisma.$transaction(
    async (tx) => {
      if (!(await tryReconcileLock(tx))) return null;
      const result = new PassResult(context.logger);
      // Asked once: with Temporal away every step below would wait for its own deadline.
      await context.temporal.withDeadline(Date.now() + 5_000, () =>
        context.temporal.connection.workflowService.getSystemInfo({}),
      );
      await result.attempt('schedules', () => reconcileSchedules(context, result));
      await result.attempt('policies', () => reconcilePolicies(context, result));
      await result.attempt('backups', () => reconcileBackups(context, result));
      await result.attempt('restores', () => reconcileRestores(context, result));
      await result.attempt('deletions', () => reconcileDeletions(context, result));
      await result.attempt('workflows without a row', () => endOrphans(context, orphans, result));
      return result;
    },
    { timeout: PASS_TIMEOUT_MS, maxWait: 5_000 },
  );
}

export type ReconcileLoop = { stop(): Promise<void> };

/** Runs a pass at once and then every `intervalMs` (default 30 s) until `stop`, which waits for the pass under way. */
export function startReconcileLoop(context: UsecaseContext, options: { intervalMs?: number } = {}): ReconcileLoop {
  const intervalMs = options.intervalMs ?? 30_000;
  const orphans: Orphans = new Map();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let failing = false;

  const pass = async (): Promise<void> => {
    try {
      const result = await reconcileOnce(context, orphans);
      if (result !== null && Object.keys(result.changes).length > 0) {
        context.logger.info({ changes: result.changes }, 'reconcile: brought catalog and Temporal together');
      }
      if (failing) context.logger.info('reconcile: works again');
      failing = false;
    } catch (error) {
      // Said once per outage: the loop goes round every half minute.
      if (!failing) context.logger.warn({ err: error }, 'reconcile: the catalog or Temporal does not answer');
      failing = true;
    }
  };

  const round = async (): Promise<void> => {
    await pass();
    if (!stopped) timer = setTimeout(() => (current = round()), intervalMs);
  };
  let current = round();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await current;
    },
  };
}
