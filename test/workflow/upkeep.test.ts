import { WorkflowFailedError } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import { taskQueues } from '../../src/workflows/names.js';
import type { Scripted } from '../support/scripted-activities.js';
import { failure, scriptActivities } from '../support/scripted-activities.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

describe('the delete-backup, housekeeping and check workflows', () => {
  const temporal = useWorkflowEnv();
  const run = (type: string, scripted: Scripted, args: unknown[]) =>
    temporal.run(scripted, (env) =>
      env.client.workflow
        .execute(type, { taskQueue: taskQueues.control, workflowId: uniqueId(type), args })
        .catch((error: unknown) => error),
    );

  test('a deletion that is refused is tried again over half an hour, each refusal recorded', async () => {
    const denied = failure('destination_denied');
    const scripted = scriptActivities({ deleteBackupObjects: [denied, denied, undefined] });
    expect(await run('deleteBackup', scripted, [{ backupId: 'bkp_1' }])).toEqual({ status: 'completed', code: null });
    expect(scripted.inputs('deleteBackupObjects')).toHaveLength(3);
    expect(scripted.inputs('noteDeletionRefused')).toHaveLength(2);
  });

  test('a deletion that stays refused closes as failed', async () => {
    const scripted = scriptActivities({ deleteBackupObjects: [failure('destination_denied')] });
    expect(await run('deleteBackup', scripted, [{ backupId: 'bkp_1' }])).toBeInstanceOf(WorkflowFailedError);
    expect(scripted.inputs('noteDeletionRefused')).toHaveLength(4);
  });

  test('one thing that housekeeping cannot do keeps nothing else from being done', async () => {
    const scripted = scriptActivities({
      dropPrevious: [failure('database_unreachable')],
      dropStaging: [failure('authentication_failed')],
      deleteBackupObjects: [failure('destination_denied')],
      sweepDestination: [failure('destination_missing')],
    });
    expect(await run('housekeeping', scripted, [])).toEqual({ status: 'completed', code: null });
    for (const name of ['dropPrevious', 'dropStaging', 'applyRetention', 'sweepDestination', 'expireRows']) {
      expect(scripted.calls).toContain(name);
    }
    expect(scripted.inputs('noteDeletionRefused')).toMatchObject([{ error: { code: 'destination_denied' } }]);
  });

  test('a check is not tried twice', async () => {
    const scripted = scriptActivities({ checkDatabase: [failure('service_unavailable')] });
    expect(await run('checkDatabase', scripted, [{ databaseId: 'db_1' }])).toBeInstanceOf(WorkflowFailedError);
    expect(scripted.calls).toEqual(['checkDatabase']);
    expect(await run('checkDestination', scripted, [{ destinationId: 'dst_1' }])).toEqual({ ok: true, code: null });
  });
});
