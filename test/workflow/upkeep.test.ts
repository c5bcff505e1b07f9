import { WorkflowFailedError } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import { backupWorkflowId, taskQueues } from '../../src/workflows/names.js';
import type { Scripted } from '../support/scripted-activities.js';
import { failure, scriptActivities } from '../support/scripted-activities.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

describe('the fire, delete-backup, housekeeping and check workflows', () => {
  const temporal = useWorkflowEnv();
  const run = (type: string, scripted: Scripted, args: unknown[]) =>
    temporal.run(scripted, (env) =>
      env.client.workflow
        .execute(type, { taskQueue: taskQueues.control, workflowId: uniqueId(type), args })
        .catch((error: unknown) => error),
    );

  test('a firing claims its row and starts the backup as a run of its own that outlives it', async () => {
    const backupId = uniqueId('bkp');
    const scripted = scriptActivities({
      claimScheduledBackup: [{ state: 'claimed', backupId, labels: { databaseName: 'shop', planName: 'nightly' } }],
    });
    const result = await temporal.run(scripted, async (env) => {
      const fired: unknown = await env.client.workflow.execute('fire', {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('fire'),
        args: [{ planId: 'plan_1' }],
      });
      const backup: unknown = await env.client.workflow.getHandle(backupWorkflowId(backupId)).result();
      return [fired, backup];
    });
    expect(result).toEqual([
      { backupId, status: 'started' },
      { status: 'completed', code: null },
    ]);
    const [claim] = scripted.inputs('claimScheduledBackup') as { scheduledFor: string }[];
    expect(Number.isNaN(Date.parse(claim?.scheduledFor ?? ''))).toBe(false);
  });

  test('a firing whose database is busy starts nothing', async () => {
    const scripted = scriptActivities({
      claimScheduledBackup: [{ state: 'skipped', backupId: 'bkp_2', reason: 'bkp_1 was in the way' }],
    });
    expect(await run('fire', scripted, [{ planId: 'plan_1' }])).toEqual({ backupId: 'bkp_2', status: 'skipped' });
    expect(scripted.calls).toEqual(['claimScheduledBackup']);
  });

  test('a firing whose backup the reconciler has started already is content with that', async () => {
    const backupId = uniqueId('bkp');
    const scripted = scriptActivities({
      claimScheduledBackup: [{ state: 'claimed', backupId, labels: { databaseName: 'shop', planName: null } }],
      dumpDatabase: [() => new Promise((resolve) => setTimeout(() => resolve(finished), 1_500))],
    });
    const fired = await temporal.run(scripted, async (env) => {
      const first = await env.client.workflow.start('backup', {
        taskQueue: taskQueues.control,
        workflowId: backupWorkflowId(backupId),
        args: [{ backupId, trigger: 'schedule', labels: { databaseName: 'shop', planName: null } }],
      });
      const result: unknown = await env.client.workflow.execute('fire', {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('fire'),
        args: [{ planId: 'plan_1' }],
      });
      await first.result();
      return result;
    });
    expect(fired).toEqual({ backupId, status: 'started' });
    expect(scripted.inputs('dumpDatabase')).toHaveLength(1);
  });

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

const finished = { bytes: 1, storedBytes: 1, tables: 1, rows: '1', location: 'x', adopted: false };
