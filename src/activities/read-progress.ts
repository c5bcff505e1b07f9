import type { Activities } from '../workflows/activity-types.js';
import type { RunProgress } from '../workflows/messages.js';
import type { ActivityDeps } from './deps.js';
import { runShort } from './run-step.js';

/** What the row says, as the step that works on it wrote it at most two seconds ago. */
export function readProgress(deps: ActivityDeps): Activities['readProgress'] {
  return (input) =>
    runShort(deps, 'read-progress', async () => {
      const { backup, restore } = deps.catalog.prisma;
      const select = { progress: true };
      const row =
        'backupId' in input
          ? await backup.findUnique({ where: { id: input.backupId }, select })
          : await restore.findUnique({ where: { id: input.restoreId }, select });
      return isProgress(row?.progress) ? row.progress : null;
    });
}

function isProgress(value: unknown): value is RunProgress {
  if (typeof value !== 'object' || value === null) return false;
  const { phase, bytes, percent } = value as Record<string, unknown>;
  return typeof phase === 'string' && typeof bytes === 'number' && (percent === null || typeof percent === 'number');
}
