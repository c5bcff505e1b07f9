import { describe, expect, test } from 'vitest';
import { backupWorkflowId, taskQueues } from '../../src/workflows/names.js';
import type { Scripted } from '../support/scripted-activities.js';
import { scriptActivities } from '../support/scripted-activities.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

const finished = { bytes: 1, storedBytes: 1, tables: 1, rows: '1', location: 'x', adopted: false };

describe('the fire workflow', () => {
  // The real server: the time-skipping one skips no more time after a child that outlives its parent.
  const temporal = useWorkflowEnv({ timeSkipping: false });

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
    expect(await fire(scripted)).toEqual({ backupId: 'bkp_2', status: 'skipped' });
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

  const fire = (scripted: Scripted) =>
    temporal.run(scripted, (env) =>
      env.client.workflow.execute('fire', {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('fire'),
        args: [{ planId: 'plan_1' }],
      }),
    );
});
