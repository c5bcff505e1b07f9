import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { waitBeforeLook } from '../../src/workflows/live-progress.js';
import { taskQueues } from '../../src/workflows/names.js';
import type { Scripted } from '../support/scripted-activities.js';
import { afterWork, failure, scriptActivities, untilCancelled } from '../support/scripted-activities.js';
import { until } from '../support/until.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

const input = { backupId: 'bkp_1', trigger: 'manual', labels: { databaseName: 'shop', planName: 'nightly' } };

describe('the backup workflow', () => {
  const temporal = useWorkflowEnv();
  const run = (scripted: Scripted) =>
    temporal.run(scripted, (env) =>
      env.client.workflow.execute('backup', {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('backup'),
        args: [input],
      }),
    );

  test('one good attempt is followed by tidying and retention', async () => {
    const scripted = scriptActivities({ applyRetention: [{ deletions: ['bkp_0'] }] });
    expect(await run(scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.calls).toEqual([
      'beginAttempt',
      'dumpDatabase',
      'removeRemains',
      'applyRetention',
      'deleteBackupObjects',
    ]);
  });

  test('a failure that may pass is followed by a new attempt under a new token', async () => {
    const scripted = scriptActivities({
      dumpDatabase: [
        failure('source_busy'),
        failure('connection_lost'),
        { bytes: 1, storedBytes: 1, tables: null, rows: null, location: 'x', adopted: false },
      ],
    });
    expect(await run(scripted)).toEqual({ status: 'completed', code: null });
    const tokens = scripted
      .inputs('dumpDatabase')
      .map((given) => (given as { attempt: { token: number } }).attempt.token);
    expect(tokens).toEqual([1, 2, 3]);
    expect(scripted.inputs('endAttempt')).toMatchObject([
      { error: { code: 'source_busy' } },
      { error: { code: 'connection_lost' } },
    ]);
  });

  test('the Web UI is told how far a dump has come while it runs, and no more once it has ended', async () => {
    const scripted = scriptActivities({
      dumpDatabase: [
        afterWork(6_000, { bytes: 1, storedBytes: 1, tables: 1, rows: '1', location: 'x', adopted: false }),
      ],
    });
    await temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start('backup', {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('backup'),
        args: [input],
      });
      const details = async () =>
        (await handle.query<{ currentDetails?: string }>('__temporal_workflow_metadata')).currentDetails ?? '';
      await until(async () => (await details()).includes('- Now: dumping, 1.5 GiB, 41 %'), 'the progress', 10_000);
      expect(await handle.result()).toEqual({ status: 'completed', code: null });
      expect(await details()).not.toContain('Now:');
    });
    expect(scripted.inputs('readProgress')[0]).toEqual({ backupId: 'bkp_1' });
  });

  test('a look that fails changes nothing, and looks grow rare enough for a dump of a fortnight', async () => {
    const scripted = scriptActivities({
      dumpDatabase: [
        afterWork(5_000, { bytes: 1, storedBytes: 1, tables: 1, rows: '1', location: 'x', adopted: false }),
      ],
      readProgress: [failure('service_unavailable')],
    });
    expect(await run(scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.inputs('readProgress').length).toBeGreaterThan(0);
    const waits = Array.from({ length: 1_000 }, (_, looks) => waitBeforeLook(looks));
    expect(waits.slice(0, 2)).toEqual(['3s', '10s']);
    expect(waits.filter((wait) => wait !== null)).toHaveLength(300);
  });

  test('after four attempts that failed by themselves it gives up with the last reason', async () => {
    const scripted = scriptActivities({ dumpDatabase: [failure('dump_failed', 'pg_dump ended with exit code 1')] });
    const error = await run(scripted).catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe('dump_failed');
    expect(scripted.inputs('dumpDatabase')).toHaveLength(4);
    expect(scripted.inputs('settleBackup')).toMatchObject([
      { status: 'failed', error: { code: 'dump_failed', message: 'pg_dump ended with exit code 1' } },
    ]);
  });

  test('a lost worker costs none of the four', async () => {
    const lost = failure('worker_lost');
    const scripted = scriptActivities({
      dumpDatabase: [
        lost,
        lost,
        lost,
        lost,
        lost,
        { bytes: 1, storedBytes: 1, tables: 1, rows: '1', location: 'x', adopted: true },
      ],
    });
    expect(await run(scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.inputs('dumpDatabase')).toHaveLength(6);
  });

  test('a failure that a person must mend ends the run at once, settled before it closes', async () => {
    const scripted = scriptActivities({ dumpDatabase: [failure('authentication_failed')] });
    const error = await run(scripted).catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe('authentication_failed');
    expect(scripted.calls).toEqual(['beginAttempt', 'dumpDatabase', 'endAttempt', 'settleBackup', 'removeRemains']);
  });

  test('a run whose manifest was published before it failed ends completed', async () => {
    const scripted = scriptActivities({
      dumpDatabase: [failure('fenced'), failure('destination_denied')],
      settleBackup: [{ status: 'completed', code: null }],
    });
    expect(await run(scripted)).toEqual({ status: 'completed', code: null });
  });

  test('a row that is settled already is left alone', async () => {
    const scripted = scriptActivities({
      beginAttempt: [{ state: 'settled', result: { status: 'cancelled', code: 'cancelled' } }],
    });
    expect(await run(scripted)).toEqual({ status: 'cancelled', code: 'cancelled' });
    expect(scripted.calls).toEqual(['beginAttempt']);
  });

  test('a refused deletion by retention is recorded and does not fail the backup', async () => {
    const scripted = scriptActivities({
      applyRetention: [{ deletions: ['bkp_0'] }],
      deleteBackupObjects: [failure('destination_denied')],
    });
    expect(await run(scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.inputs('noteDeletionRefused')).toMatchObject([
      { backupId: 'bkp_0', error: { code: 'destination_denied' } },
    ]);
  });

  test('a cancel waits until the dump has stopped, settles the row as cancelled, and closes as cancelled', async () => {
    const order: string[] = [];
    const scripted = scriptActivities({
      dumpDatabase: [
        async () => {
          try {
            return await untilCancelled();
          } finally {
            order.push('dump stopped');
          }
        },
      ],
      settleBackup: [
        () => {
          order.push('settled');
          return { status: 'cancelled', code: 'cancelled' };
        },
      ],
    });
    const error = await temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start('backup', {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('backup'),
        args: [input],
      });
      await until(() => scripted.calls.includes('dumpDatabase'), 'the dump to run');
      await handle.cancel();
      return await handle.result().catch((reason: unknown) => reason);
    });
    expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
    expect(order).toEqual(['dump stopped', 'settled']);
    expect(scripted.calls.at(-1)).toBe('removeRemains');
  });
});

function codeOf(error: unknown): string | null | undefined {
  expect(error).toBeInstanceOf(WorkflowFailedError);
  const cause = (error as WorkflowFailedError).cause;
  expect(cause).toBeInstanceOf(ApplicationFailure);
  return (cause as ApplicationFailure).type;
}
