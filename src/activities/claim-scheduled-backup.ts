import { claimScheduledBackup as claim } from '../catalog/runs/claim-scheduled.js';
import type { Activities } from '../workflows/activity-types.js';
import type { ActivityDeps } from './deps.js';
import { runShort } from './run-step.js';

export function claimScheduledBackup(deps: ActivityDeps): Activities['claimScheduledBackup'] {
  return (input) =>
    runShort(deps, 'claim-scheduled-backup', async () => {
      const claimed = await claim(deps.catalog, {
        planId: input.planId,
        scheduledFor: new Date(input.scheduledFor),
      });
      if (claimed.state === 'skipped') return claimed;
      const { backupId, databaseName, planName } = claimed;
      return { state: 'claimed', backupId, labels: { databaseName, planName } };
    });
}
