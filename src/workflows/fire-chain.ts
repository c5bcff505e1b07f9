import { activities } from './activity-options.js';
import { retain, wakeEntity } from './entities.js';
import { scheduledTime } from './fire.js';
import type { FireChainInput, FireResult } from './messages.js';
import { chainWorkflowId } from './names.js';
import { Story } from './story.js';

/**
 * Started by the schedules of a chain: puts what is due into the catalog, or the reason why it is not, and wakes the chain's entity, which
 * runs it in its turn. Retention is applied by the entity too, between its runs.
 */
export async function fireChain(input: FireChainInput): Promise<FireResult> {
  const story = new Story();
  const firing = await activities.catalog.claimChain({ ...input, scheduledFor: scheduledTime() });
  if (firing.state === 'skipped') {
    story.tell(`Skipped: ${firing.reason}`);
    story.status('skipped');
    return { backupId: firing.backupId ?? '', status: 'skipped' };
  }
  const entity = chainWorkflowId(firing.policyId, firing.serverId);
  story.status('started');
  if (firing.state === 'retain') {
    await wakeEntity(entity, retain);
    return { backupId: '', status: 'started' };
  }
  await wakeEntity(entity);
  story.tell(`Due: ${firing.backupId}`);
  return { backupId: firing.backupId, status: 'started' };
}
