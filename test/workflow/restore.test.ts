import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { describe, expect, test } from 'vitest';
import { taskQueues } from '../../src/workflows/names.js';
import type { Scripted } from '../support/scripted-activities.js';
import { failure, scriptActivities, untilCancelled } from '../support/scripted-activities.js';
import { until } from '../support/until.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

const args = [{ restoreId: 'rst_1', labels: { databaseName: 'shop', planName: null } }];

describe('the restore and revert workflows', () => {
  const temporal = useWorkflowEnv();
  const run = (type: 'restore' | 'revert', scripted: Scripted) =>
    temporal.run(scripted, (env) =>
      env.client.workflow
        .execute(type, { taskQueue: taskQueues.control, workflowId: uniqueId(type), args })
        .catch((error: unknown) => error),
    );

  test('everything is verified, built and compared before the swap', async () => {
    const scripted = scriptActivities();
    expect(await run('restore', scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.calls).toEqual([
      'prepareRestore',
      'verifyArtifacts',
      'buildStaging',
      'compareStaging',
      'swapIn',
      'settleRestore',
    ]);
  });

  test('a swap that a lost workflow had begun is finished by the next one', async () => {
    const scripted = scriptActivities({ prepareRestore: [{ state: 'swapping' }] });
    expect(await run('restore', scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.calls).toEqual(['prepareRestore', 'swapIn', 'settleRestore']);
  });

  test('the direct way has no swap', async () => {
    const scripted = scriptActivities({
      prepareRestore: [{ state: 'ready', way: 'direct', targetExists: true, bytes: 1, estimatedBytes: 2, place: 'x' }],
    });
    expect(await run('restore', scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.calls).not.toContain('swapIn');
  });

  test('a difference ends the restore with its staging dropped and no swap', async () => {
    const scripted = scriptActivities({ compareStaging: [failure('restore_mismatch')] });
    expect(typeOf(await run('restore', scripted))).toBe('restore_mismatch');
    expect(scripted.calls.slice(-3)).toEqual(['undoSwap', 'dropStaging', 'settleRestore']);
    expect(scripted.calls).not.toContain('swapIn');
    expect(scripted.inputs('settleRestore')).toMatchObject([{ status: 'failed', error: { code: 'restore_mismatch' } }]);
  });

  test('a damaged object is found before the target is touched', async () => {
    const scripted = scriptActivities({ verifyArtifacts: [failure('object_corrupt')] });
    expect(typeOf(await run('restore', scripted))).toBe('object_corrupt');
    expect(scripted.calls).not.toContain('buildStaging');
  });

  test('a load that was interrupted starts over', async () => {
    const scripted = scriptActivities({
      buildStaging: [failure('worker_lost'), failure('connection_lost'), { stagingName: 'tm_stage_rst_1_3' }],
    });
    expect(await run('restore', scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.inputs('buildStaging')).toHaveLength(3);
  });

  test('a swap is tried again until it is done, for as long as only its surroundings fail', async () => {
    const away = failure('database_unreachable');
    const scripted = scriptActivities({
      swapIn: [...Array.from({ length: 40 }, () => away), { previousName: null, shutOutSeconds: 500 }],
    });
    expect(await run('restore', scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.inputs('swapIn')).toHaveLength(41);
  });

  test('a swap that was undone fails the restore; one that was done in truth completes it', async () => {
    const undone = scriptActivities({ swapIn: [failure('swap_failed')] });
    expect(typeOf(await run('restore', undone))).toBe('swap_failed');
    expect(undone.inputs('swapIn')).toHaveLength(1);
    const done = scriptActivities({
      swapIn: [failure('fenced')],
      undoSwap: [{ undone: false, completed: true }],
    });
    expect(await run('restore', done)).toEqual({ status: 'completed', code: null });
    expect(done.calls).not.toContain('dropStaging');
  });

  test('an undoing that is refused is tried again, and nothing is dropped or settled before it is done', async () => {
    const scripted = scriptActivities({
      swapIn: [failure('authentication_failed')],
      undoSwap: [failure('authentication_failed'), failure('secret_missing'), { undone: true, completed: false }],
    });
    expect(typeOf(await run('restore', scripted))).toBe('authentication_failed');
    const last = ['swapIn', 'undoSwap', 'undoSwap', 'undoSwap', 'dropStaging', 'settleRestore'];
    expect(scripted.calls.slice(-6)).toEqual(last);
  });

  test('a swap that cannot be undone for a week keeps its staging database, and the row says so', async () => {
    const scripted = scriptActivities({
      swapIn: [failure('authentication_failed')],
      undoSwap: [failure('authentication_failed', 'The login was refused.')],
    });
    expect(typeOf(await run('restore', scripted))).toBe('authentication_failed');
    expect(scripted.calls).not.toContain('dropStaging');
    const [settled] = scripted.inputs('settleRestore') as { status: string; error: { message: string } }[];
    expect(settled?.status).toBe('failed');
    expect(settled?.error.message).toMatch(/half done and could not be undone: The login was refused/);
  });

  test('a revert is not settled before its undoing is done', async () => {
    const scripted = scriptActivities({
      revertRestore: [failure('authentication_failed')],
      undoSwap: [failure('authentication_failed'), { undone: true, completed: false }],
    });
    expect(typeOf(await run('revert', scripted))).toBe('authentication_failed');
    expect(scripted.calls).toEqual(['revertRestore', 'undoSwap', 'undoSwap', 'settleRevert']);
  });

  test('a staging database that cannot be dropped does not keep the row from settling', async () => {
    const scripted = scriptActivities({
      compareStaging: [failure('restore_mismatch')],
      dropStaging: [failure('database_unreachable')],
    });
    expect(typeOf(await run('restore', scripted))).toBe('restore_mismatch');
    expect(scripted.calls.at(-1)).toBe('settleRestore');
  });

  test('a cancel while loading drops the staging and closes as cancelled', async () => {
    const scripted = scriptActivities({ buildStaging: [untilCancelled] });
    const error = await cancelDuring(scripted, 'buildStaging');
    expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
    expect(scripted.inputs('settleRestore')).toMatchObject([{ status: 'cancelled' }]);
    expect(scripted.calls).toContain('dropStaging');
  });

  test('a cancel that the dying worker never answered closes as the row says, as cancelled', async () => {
    // A step that was told to stop is not tried again, whatever it fails with.
    const lost = ApplicationFailure.create({ type: 'worker_lost', nonRetryable: true });
    const scripted = scriptActivities({
      buildStaging: [() => untilCancelled().catch(() => Promise.reject(lost))],
      settleRestore: [{ status: 'cancelled', code: 'cancelled' }],
    });
    const error = await cancelDuring(scripted, 'buildStaging');
    expect((error as WorkflowFailedError).cause).toBeInstanceOf(CancelledFailure);
    expect(scripted.calls.slice(-3)).toEqual(['undoSwap', 'dropStaging', 'settleRestore']);
  });

  test('a cancel during the swap comes too late: the swap is finished', async () => {
    const scripted = scriptActivities({
      swapIn: [
        async () => {
          await new Promise((resolve) => setTimeout(resolve, 1_500));
          return { previousName: null, shutOutSeconds: 1 };
        },
      ],
    });
    expect(await cancelDuring(scripted, 'swapIn')).toEqual({ status: 'completed', code: null });
    expect(scripted.inputs('settleRestore')).toMatchObject([{ status: 'completed' }]);
  });

  test('a revert that fails is undone and says why on the row', async () => {
    const scripted = scriptActivities({ revertRestore: [failure('previous_gone')] });
    expect(typeOf(await run('revert', scripted))).toBe('previous_gone');
    expect(scripted.inputs('undoSwap')).toMatchObject([{ purpose: 'revert' }]);
    expect(scripted.inputs('settleRevert')).toMatchObject([{ error: { code: 'previous_gone' } }]);
  });

  async function cancelDuring(scripted: Scripted, name: string): Promise<unknown> {
    return await temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start('restore', {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('restore'),
        args,
      });
      await until(() => scripted.calls.includes(name), `${name} to run`);
      await handle.cancel();
      return await handle.result().catch((reason: unknown) => reason);
    });
  }
});

function typeOf(error: unknown): string | null | undefined {
  expect(error).toBeInstanceOf(WorkflowFailedError);
  const cause = (error as WorkflowFailedError).cause;
  expect(cause).toBeInstanceOf(ApplicationFailure);
  return (cause as ApplicationFailure).type;
}
