import type { WorkflowHandle } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import { wakeSignal, workflowTypes } from '../../src/workflows/messages.js';
import { taskQueues } from '../../src/workflows/names.js';
import type { Script, Scripted } from '../support/scripted-activities.js';
import { failure, scriptActivities, untilCancelled } from '../support/scripted-activities.js';
import { until } from '../support/until.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

const wish = { wanted: true, held: true, policyId: 'pol_1', serverId: 'srv_1', settings: 'a' };
const stopped = { ...wish, wanted: false, held: false };

describe('the archive workflow', () => {
  // The real server: what is tested here waits for signals, not for hours.
  const temporal = useWorkflowEnv({ timeSkipping: false });

  const run = (script: Script, act: (handle: WorkflowHandle, scripted: Scripted) => Promise<unknown>) => {
    const scripted = scriptActivities(script);
    return temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start(workflowTypes.archive, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('archive'),
        args: [{ chainId: 'chn_1', labels: { serverName: 'db', policyName: 'nightly' } }],
      });
      await act(handle, scripted);
      return { scripted, result: await handle.result().catch((error: unknown) => error) };
    });
  };
  const following = (scripted: Scripted, times = 1) =>
    until(() => scripted.calls.filter((call) => call === 'followLog').length >= times, 'the log to be followed');

  test('ends at once, touching nothing, when nothing is wanted or held, and when its chain is gone', async () => {
    const none = await run({ readArchive: [stopped] }, async () => {});
    expect(none.scripted.calls).toEqual(['readArchive']);
    const gone = await run({ readArchive: [null] }, async () => {});
    expect(gone.scripted.calls).toEqual(['readArchive']);
  });

  test('stops the follower and releases the source when it is not wanted any more', async () => {
    const script = { readArchive: [wish, { ...stopped, held: true }], followLog: [untilCancelled] };
    const { scripted } = await run(script, async (handle, now) => {
      await following(now);
      await handle.signal(wakeSignal);
    });
    expect(scripted.calls).toEqual(['readArchive', 'followLog', 'readArchive', 'readArchive', 'releaseSource']);
  });

  test('goes on following over a wake that changes nothing, and follows anew when the connection has changed', async () => {
    const changed = { ...wish, settings: 'b' };
    const script = { readArchive: [wish, wish, changed, changed, stopped], followLog: [untilCancelled] };
    const { scripted } = await run(script, async (handle, now) => {
      await following(now);
      await handle.signal(wakeSignal);
      await until(() => now.calls.filter((call) => call === 'readArchive').length === 2, 'the first look');
      expect(now.calls.filter((call) => call === 'followLog')).toHaveLength(1);
      await handle.signal(wakeSignal);
      await following(now, 2);
      await handle.signal(wakeSignal);
    });
    expect(scripted.calls.filter((call) => call === 'followLog')).toHaveLength(2);
  });

  test('shows why it is interrupted and goes on: at once after a lost worker, after a pause otherwise', async () => {
    const script = {
      readArchive: [wish, wish, wish, stopped],
      followLog: [failure('worker_lost'), failure('destination_unreachable'), untilCancelled],
    };
    const { scripted } = await run(script, async (handle, now) => {
      await following(now, 3);
      await handle.signal(wakeSignal);
    });
    expect(scripted.inputs('noteArchiveError')).toMatchObject([
      { error: { code: 'worker_lost' } },
      { error: { code: 'destination_unreachable' } },
    ]);
  });

  test('waits for a person after what only a person can mend, and tries again when it is woken', async () => {
    const script = {
      readArchive: [wish, wish, stopped],
      followLog: [failure('authentication_failed'), untilCancelled],
    };
    const began = Date.now();
    await run(script, async (handle, now) => {
      await until(() => now.calls.includes('noteArchiveError'), 'the error to be shown');
      await handle.signal(wakeSignal);
      await following(now, 2);
      await handle.signal(wakeSignal);
    });
    // The pause alone would have been five minutes.
    expect(Date.now() - began).toBeLessThan(60_000);
  });

  test('notes a gap once and goes on at once in the next epoch', async () => {
    const error = { code: 'log_gap', message: 'The server removed its log from 0/1 to 0/2.' };
    const script = {
      readArchive: [wish, { ...wish, settings: 'epoch 1' }, stopped],
      followLog: [{ ended: 'gap', error, from: { lsn: '0/1' }, to: { lsn: '0/2' } }, untilCancelled],
    };
    const { scripted } = await run(script, async (handle, now) => {
      await following(now, 2);
      await handle.signal(wakeSignal);
    });
    expect(scripted.inputs('noteGap')).toEqual([{ chainId: 'chn_1', error, from: { lsn: '0/1' }, to: { lsn: '0/2' } }]);
    expect(scripted.calls).not.toContain('noteArchiveError');
  });

  test('a gap in an epoch that holds nothing is an error that is tried again with growing pauses', async () => {
    const error = { code: 'log_gap', message: 'The server keeps no log.' };
    const gap = { ended: 'gap', error, from: null, to: null };
    const script = {
      readArchive: [wish, wish, wish, stopped],
      followLog: [gap, gap, untilCancelled],
      noteGap: [{ noted: false, backupId: null }],
    };
    const { scripted } = await run(script, async (handle, now) => {
      await following(now, 3);
      await handle.signal(wakeSignal);
    });
    expect(scripted.inputs('noteArchiveError')).toHaveLength(2);
  });

  test('a cancel of the entity ends the follower and closes it as cancelled', async () => {
    const { scripted, result } = await run(
      { readArchive: [wish], followLog: [untilCancelled] },
      async (handle, now) => {
        await following(now);
        await handle.cancel();
      },
    );
    expect(String((result as Error).cause)).toContain('ancel');
    expect(scripted.calls).not.toContain('releaseSource');
  });
});

describe('a long history of the archive workflow', () => {
  const temporal = useWorkflowEnv({ timeSkipping: false, suggestNewHistoryAt: 60 });

  test('is followed by a new one after many wakes, in which the log is followed anew', async () => {
    const scripted = scriptActivities({ readArchive: [wish], followLog: [untilCancelled] });
    await temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start(workflowTypes.archive, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('archive'),
        args: [{ chainId: 'chn_1', labels: { serverName: 'db', policyName: 'nightly' } }],
      });
      const follows = () => scripted.calls.filter((call) => call === 'followLog').length;
      await until(() => follows() === 1, 'the log to be followed');
      const current = env.client.workflow.getHandle(handle.workflowId);
      const first = (await current.describe()).runId;
      for (let wakes = 0; wakes < 30 && (await current.describe()).runId === first; wakes += 1) {
        await current.signal(wakeSignal);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      await until(() => follows() === 2, 'the log to be followed in a new history');
      expect((await current.describe()).runId).not.toBe(first);
      await current.terminate();
    });
  });
});

describe('a restore that needs recovery', () => {
  const temporal = useWorkflowEnv({ timeSkipping: false });
  const ready = {
    state: 'ready',
    way: 'staged',
    targetExists: true,
    bytes: 1000,
    estimatedBytes: 1500,
    place: 'shop on db:5432',
    recovery: 'bkp_1, log slices 1 to 9',
  };
  const restore = (scripted: Scripted) =>
    temporal.run(scripted, (env) =>
      env.client.workflow
        .execute('restore', {
          taskQueue: taskQueues.control,
          workflowId: uniqueId('restore'),
          args: [{ restoreId: 'rst_1', labels: { databaseName: 'shop', planName: null } }],
        })
        .catch((error: unknown) => error),
    );

  test('recovers, loads and compares in one step, then swaps as ever', async () => {
    const scripted = scriptActivities({ prepareRestore: [ready] });
    expect(await restore(scripted)).toEqual({ status: 'completed', code: null });
    expect(scripted.calls).toEqual(['prepareRestore', 'recoverIntoStaging', 'swapIn', 'settleRestore']);
  });

  test('starts over after a sandbox that failed, and ends with its staging dropped when recovery falls short', async () => {
    const again = scriptActivities({
      prepareRestore: [ready],
      recoverIntoStaging: [
        failure('sandbox_failed'),
        { stagingName: 'x', comparison: { tables: 1, rows: '1' }, lastApplied: null, firstRefused: null },
      ],
    });
    expect(await restore(again)).toEqual({ status: 'completed', code: null });
    const short = scriptActivities({ prepareRestore: [ready], recoverIntoStaging: [failure('recovery_incomplete')] });
    await restore(short);
    expect(short.calls).not.toContain('swapIn');
    expect(short.calls.slice(-3)).toEqual(['undoSwap', 'dropStaging', 'settleRestore']);
  });
});
