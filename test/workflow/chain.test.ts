import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import { retainSignal, wakeSignal, workflowTypes } from '../../src/workflows/messages.js';
import { backupWorkflowId, chainWorkflowId, taskQueues } from '../../src/workflows/names.js';
import type { Script, Scripted } from '../support/scripted-activities.js';
import { afterWork, failure, scriptActivities } from '../support/scripted-activities.js';
import { until } from '../support/until.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

const labels = { serverName: 'db', policyName: 'gold' };
const taken = { bytes: 1, storedBytes: 1, tables: null, rows: null, location: 'x', adopted: false };
const begun = (kind: string) => ({
  state: 'begun',
  attempt: { attemptId: 'att_1', number: 1, token: 1 },
  planId: null,
  kind,
});
const due = (backupId: string, kind: 'full' | 'incremental' = 'full') => ({
  state: 'run',
  backupId,
  kind,
  trigger: 'schedule',
  databaseId: 'db_1',
  labels: { databaseName: 'shop', planName: 'gold' },
});
const idle = { state: 'idle', alive: true };
const over = { state: 'idle', alive: false };

/** Starts the entity, lets `act` disturb it, and gives what it did. */
function useChain(timeSkipping: boolean, suggestNewHistoryAt?: number) {
  const temporal = useWorkflowEnv({
    timeSkipping,
    ...(suggestNewHistoryAt === undefined ? {} : { suggestNewHistoryAt }),
  });
  return async (script: Script, act?: (handle: WorkflowHandle, scripted: Scripted) => Promise<unknown>) => {
    const scripted = scriptActivities({ beginAttempt: [begun('full')], takeServerBackup: [taken], ...script });
    let isContinued = false;
    await temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start(workflowTypes.chain, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('chain'),
        args: [{ chainId: 'chn_1', labels }],
      });
      await act?.(handle, scripted);
      const last = env.client.workflow.getHandle(handle.workflowId);
      await last.result();
      isContinued = (await last.describe()).runId !== handle.firstExecutionRunId;
    });
    return { ...scripted, isContinued };
  };
}
const count = (scripted: Scripted, name: string) => scripted.calls.filter((call) => call === name).length;
const idsOf = (inputs: unknown[]) => inputs.map((input) => (input as { backupId: string }).backupId);

describe('the chain workflow', () => {
  const run = useChain(true);

  test('takes what the catalog gives one after the other, and applies retention when nothing is left to take', async () => {
    const [a, b] = [uniqueId('bkp'), uniqueId('bkp')];
    const scripted = await run({
      readChain: [due(a, 'incremental'), due(b), over],
      beginAttempt: [begun('incremental'), begun('full')],
    });
    expect(idsOf(scripted.inputs('takeServerBackup'))).toEqual([a, b]);
    expect(idsOf(scripted.inputs('noteChainRun'))).toEqual([a, b]);
    expect(scripted.calls).toEqual([
      ...['readChain', 'beginAttempt', 'takeServerBackup', 'removeRemains', 'noteChainRun'],
      ...['readChain', 'beginAttempt', 'takeServerBackup', 'removeRemains', 'noteChainRun'],
      ...['readChain', 'applyChainRetention', 'readChain'],
    ]);
  });

  test('goes on after a run that failed, whose result is noted, and applies no retention for it', async () => {
    const [bad, good] = [uniqueId('bkp'), uniqueId('bkp')];
    const scripted = await run({
      readChain: [due(bad), due(good), over],
      takeServerBackup: [failure('authentication_failed'), taken],
      noteChainRun: [
        { settled: true, completed: false },
        { settled: true, completed: true },
      ],
    });
    expect(scripted.inputs('settleBackup')).toMatchObject([{ backupId: bad, status: 'failed' }]);
    expect(idsOf(scripted.inputs('noteChainRun'))).toEqual([bad, good]);
    expect(count(scripted, 'applyChainRetention')).toBe(1);
  });

  test('gives a result to a run whose workflow was terminated, so that the chain is not held by it', async () => {
    const backupId = uniqueId('bkp');
    const scripted = await run({
      readChain: [due(backupId), over],
      takeServerBackup: [failure('authentication_failed')],
      noteChainRun: [
        { settled: false, completed: false },
        { settled: true, completed: false },
      ],
    });
    expect(scripted.inputs('settleBackup').at(-1)).toMatchObject({ backupId, error: { code: 'workflow_lost' } });
    expect(count(scripted, 'noteChainRun')).toBe(2);
  });

  test('looks into the catalog every hour though nobody wakes it', async () => {
    const scripted = await run({ readChain: [idle, idle, idle, over] });
    expect(scripted.calls).toEqual(['readChain', 'readChain', 'readChain', 'readChain']);
  });

  test('ends when its chain is gone', async () => {
    expect((await run({ readChain: [{ state: 'gone' }] })).calls).toEqual(['readChain']);
  });
});

describe('the chain workflow, disturbed', () => {
  const run = useChain(false);

  test('a storm of wakes during a run costs a look or two, not one for each', async () => {
    const scripted = await run(
      { readChain: [due(uniqueId('bkp')), idle, over], takeServerBackup: [afterWork(4_000, taken)] },
      async (handle, now) => {
        await until(() => now.calls.includes('takeServerBackup'), 'the run to begin');
        for (let wakes = 0; wakes < 100; wakes += 1) await handle.signal(wakeSignal);
        await until(() => count(now, 'readChain') >= 2, 'the run to end', 60_000);
        await handle.signal(wakeSignal).catch(() => undefined);
      },
    );
    expect(count(scripted, 'takeServerBackup')).toBe(1);
    expect(count(scripted, 'readChain')).toBeLessThan(6);
  });

  test('applies retention when it is told to, and outlives one that fails', async () => {
    const scripted = await run(
      { readChain: [idle, idle, over], applyChainRetention: [failure('destination_denied')] },
      async (handle, now) => {
        await until(() => now.calls.includes('readChain'), 'the first look');
        await handle.signal(retainSignal);
      },
    );
    expect(scripted.calls).toEqual(['readChain', 'readChain', 'applyChainRetention', 'readChain']);
  });
});

describe('the chain workflow, for a long time', () => {
  const run = useChain(false, 60);

  test('begins a new history between two runs and loses none', async () => {
    const ids = Array.from({ length: 12 }, () => uniqueId('bkp'));
    const scripted = await run({ readChain: [...ids.map((id) => due(id)), over] });
    expect(idsOf(scripted.inputs('takeServerBackup'))).toEqual(ids);
    expect(idsOf(scripted.inputs('noteChainRun'))).toEqual(ids);
    // What was due in the old history is done in the new one.
    expect(count(scripted, 'applyChainRetention')).toBe(1);
    expect(scripted.isContinued).toBe(true);
  });
});

describe('the fire workflow of a chain', () => {
  const temporal = useWorkflowEnv({ timeSkipping: false });

  /** Fires beside a chain entity that waits, and gives what came of both. */
  async function fire(kind: string, script: Script) {
    const serverId = uniqueId('srv');
    const place = { policyId: 'pol_1', serverId };
    const [claim] = script.claimChain ?? [{ state: 'claimed', backupId: uniqueId('bkp') }];
    const scripted = scriptActivities({
      ...script,
      beginAttempt: [begun('full')],
      claimChain: [{ ...place, ...(claim as object) }],
    });
    const result: unknown = await temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start(workflowTypes.chain, {
        taskQueue: taskQueues.control,
        workflowId: chainWorkflowId('pol_1', serverId),
        args: [{ chainId: 'chn_1', labels }],
      });
      await until(() => scripted.calls.includes('readChain'), 'the entity to wait');
      const fired: unknown = await env.client.workflow.execute(workflowTypes.fireChain, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('fire'),
        args: [{ chainId: 'chn_1', kind }],
      });
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      await handle.terminate().catch(() => undefined);
      return fired;
    });
    return { result, scripted };
  }

  test('puts what is due into the catalog at the time that the schedule meant, and wakes the chain', async () => {
    const backupId = uniqueId('bkp');
    const { result, scripted } = await fire('incremental', {
      claimChain: [{ state: 'claimed', backupId }],
      readChain: [idle, over],
    });
    expect(result).toEqual({ backupId, status: 'started' });
    expect(scripted.inputs('claimChain')).toMatchObject([{ chainId: 'chn_1', kind: 'incremental' }]);
    expect(count(scripted, 'readChain')).toBe(2);
  });

  test('leaves the chain alone when what is due is skipped', async () => {
    const { result, scripted } = await fire('full', {
      claimChain: [{ state: 'skipped', backupId: 'bkp_9', reason: 'bkp_8 was in the way' }],
      readChain: [idle],
    });
    expect(result).toEqual({ backupId: 'bkp_9', status: 'skipped' });
    expect(count(scripted, 'readChain')).toBe(1);
  });

  test('hands retention to the chain, which has no run just then', async () => {
    const { scripted } = await fire('retention', { claimChain: [{ state: 'retain' }], readChain: [idle] });
    expect(count(scripted, 'applyChainRetention')).toBe(1);
  });

  test('a run that is under way elsewhere is waited for, not started twice', async () => {
    const backupId = uniqueId('bkp');
    const scripted = scriptActivities({
      beginAttempt: [begun('full')],
      readChain: [due(backupId), over],
      takeServerBackup: [afterWork(3_000, taken)],
    });
    await temporal.run(scripted, async (env) => {
      const first = await env.client.workflow.start(workflowTypes.backup, {
        taskQueue: taskQueues.control,
        workflowId: backupWorkflowId(backupId),
        args: [{ backupId, trigger: 'manual', labels: { databaseName: 'shop', planName: null } }],
      });
      const entity = await env.client.workflow.start(workflowTypes.chain, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('chain'),
        args: [{ chainId: 'chn_1', labels }],
      });
      await first.result();
      await entity.signal(wakeSignal);
      await entity.result();
    });
    expect(count(scripted, 'takeServerBackup')).toBe(1);
  });
});
