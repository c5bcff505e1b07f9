import { describe, expect, test } from 'vitest';
import { workflowTypes } from '../../src/workflows/messages.js';
import { archiveWorkflowId, backupWorkflowId, chainWorkflowId, taskQueues } from '../../src/workflows/names.js';
import type { Script } from '../support/scripted-activities.js';
import { failure, scriptActivities, untilCancelled } from '../support/scripted-activities.js';
import { until } from '../support/until.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

const labels = { serverName: 'db', policyName: 'gold' };
const entities = ['readArchive', 'readChain', 'releaseSource'];

// The real server: the entities outlive what starts them.
describe('attaching and detaching', () => {
  const temporal = useWorkflowEnv({ timeSkipping: false });

  /** Runs one of the two to its end; entities that it starts end at once. */
  async function run(type: 'attach' | 'detach', script: (serverId: string) => Script) {
    const serverId = uniqueId('srv');
    const scripted = scriptActivities({
      readChain: [{ state: 'idle', alive: false }],
      readArchive: [null],
      ...script(serverId),
    });
    const outcome = await temporal.run(scripted, async (env) => {
      const handle = await env.client.workflow.start(type, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId(type),
        args: [{ attachmentId: 'atc_1', labels }],
      });
      const result: unknown = await handle.result().catch((error: unknown) => error);
      const known = async (workflowId: string) =>
        await env.client.workflow
          .getHandle(workflowId)
          .describe()
          .then(
            () => true,
            () => false,
          );
      const started = {
        chain: await known(chainWorkflowId('pol_1', serverId)),
        archive: await known(archiveWorkflowId('pol_1', serverId)),
      };
      return { result, started };
    });
    // What the entities do beside it comes in any order.
    return { ...outcome, scripted, calls: scripted.calls.filter((call) => !entities.includes(call)) };
  }
  const ready = (serverId: string, pitr = true) => ({
    inspectAttachment: [{ state: 'ready', chainId: 'chn_1', policyId: 'pol_1', serverId, pitr }],
  });

  test('the log is archived before the full is claimed that needs it, and a sandbox opens that full', async () => {
    const { calls, result, started } = await run('attach', ready);
    expect(result).toEqual({ status: 'active', code: null });
    expect(calls).toEqual([
      ...['inspectAttachment', 'configurePitr', 'awaitArchive'],
      ...['claimInitialFull', 'awaitBackup', 'proveInSandbox', 'finishAttach'],
    ]);
    expect(started).toEqual({ chain: true, archive: true });
  });

  test('without PITR nothing is configured at the source and no archive is started', async () => {
    const { calls, started } = await run('attach', (serverId) => ready(serverId, false));
    expect(calls).toEqual(['inspectAttachment', 'claimInitialFull', 'awaitBackup', 'proveInSandbox', 'finishAttach']);
    expect(started).toEqual({ chain: true, archive: false });
  });

  test('a refusal ends it before anything is made on the server', async () => {
    const error = { code: 'physical_forbidden', message: 'no' };
    const { calls, result, started } = await run('attach', () => ({
      inspectAttachment: [{ state: 'refused', error }],
    }));
    expect(result).toEqual({ status: 'error', code: 'physical_forbidden' });
    expect(calls).toEqual(['inspectAttachment']);
    expect(started).toEqual({ chain: false, archive: false });
  });

  test('a log that cannot be archived is noted, and the full is taken all the same', async () => {
    const error = { code: 'log_not_kept', message: 'no slot' };
    for (const script of [{ awaitArchive: [error] }, { configurePitr: [failure('log_not_kept', 'no slot')] }]) {
      const { scripted, result } = await run('attach', (serverId) => ({ ...ready(serverId), ...script }));
      expect(result).toEqual({ status: 'active', code: null });
      expect(scripted.inputs('notePitrError')).toEqual([{ attachmentId: 'atc_1', error }]);
      expect(scripted.calls).toContain('proveInSandbox');
    }
  });

  test('a chain that has a full that the log goes on from gets no second one', async () => {
    const { calls } = await run('attach', (serverId) => ({
      ...ready(serverId),
      claimInitialFull: [{ backupId: null }],
    }));
    expect(calls).not.toContain('awaitBackup');
    expect(calls).toContain('proveInSandbox');
  });

  test('a first full that fails and a sandbox that does not open stand on the attachment', async () => {
    const failed = { status: 'failed', code: 'dump_failed', message: 'disk full' };
    const full = await run('attach', (serverId) => ({ ...ready(serverId), awaitBackup: [null, failed] }));
    expect(full.scripted.inputs('finishAttach')).toMatchObject([{ error: { code: 'dump_failed' } }]);
    expect(full.calls).not.toContain('proveInSandbox');
    const sandbox = await run('attach', (serverId) => ({
      ...ready(serverId),
      proveInSandbox: [failure('tools_missing')],
    }));
    expect(sandbox.scripted.inputs('finishAttach')).toMatchObject([{ error: { code: 'tools_missing' } }]);
    expect(sandbox.result).toBeInstanceOf(Error);
  });

  const leaving = (serverId: string, rest: object) => ({
    beginDetach: [
      { state: 'begun', chain: { chainId: 'chn_1', policyId: 'pol_1', serverId }, last: true, runs: [], ...rest },
    ],
  });

  test('with the last database the archive is awaited to have stopped before the attachment is gone', async () => {
    const { calls, result, started } = await run('detach', (serverId) => leaving(serverId, {}));
    expect(result).toEqual({ detached: true });
    expect(calls).toEqual(['beginDetach', 'awaitArchiveStopped', 'finishDetach']);
    expect(started).toEqual({ chain: true, archive: true });
  });

  test('a source is released also when its archive does not stop', async () => {
    const { scripted } = await run('detach', (serverId) => ({
      ...leaving(serverId, {}),
      awaitArchiveStopped: [{ stopped: false }],
      releaseSource: [failure('service_unavailable'), { left: 1 }],
    }));
    expect(scripted.inputs('releaseSource')).toEqual([{ chainId: 'chn_1' }, { chainId: 'chn_1' }]);
    expect(scripted.calls).toContain('finishDetach');
  });

  test('the other databases of a server keep its archive', async () => {
    const { calls } = await run('detach', (serverId) => leaving(serverId, { last: false }));
    expect(calls).toEqual(['beginDetach', 'finishDetach']);
  });

  test('an attachment that is gone already is left alone', async () => {
    const { calls, result } = await run('detach', () => ({ beginDetach: [{ state: 'gone' }] }));
    expect(result).toEqual({ detached: false });
    expect(calls).toEqual(['beginDetach']);
  });

  test('a run of a server that nobody wants any more is cancelled, and one that never began is settled', async () => {
    const [running, unknown] = [uniqueId('bkp'), uniqueId('bkp')];
    const serverId = uniqueId('srv');
    const scripted = scriptActivities({
      ...leaving(serverId, { runs: [running, unknown] }),
      readChain: [{ state: 'idle', alive: false }],
      readArchive: [null],
      dumpDatabase: [untilCancelled],
    });
    await temporal.run(scripted, async (env) => {
      const backup = await env.client.workflow.start(workflowTypes.backup, {
        taskQueue: taskQueues.control,
        workflowId: backupWorkflowId(running),
        args: [{ backupId: running, trigger: 'manual', labels: { databaseName: 'shop', planName: null } }],
      });
      await until(() => scripted.calls.includes('dumpDatabase'), 'the run to be under way');
      await env.client.workflow.execute(workflowTypes.detach, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('detach'),
        args: [{ attachmentId: 'atc_1', labels }],
      });
      await backup.result().catch(() => undefined);
    });
    const settled = scripted.inputs('settleBackup') as { backupId: string; status: string }[];
    expect(settled.map(({ backupId, status }) => [backupId, status]).sort()).toEqual(
      [
        [running, 'cancelled'],
        [unknown, 'cancelled'],
      ].sort(),
    );
  });
});

describe('the check of a policy', () => {
  const temporal = useWorkflowEnv();

  test('is one look from where the workers are', async () => {
    const scripted = scriptActivities({ checkPolicy: [{ ok: false, code: 'destination_denied' }] });
    const result = await temporal.run(scripted, (env) =>
      env.client.workflow.execute(workflowTypes.checkPolicy, {
        taskQueue: taskQueues.control,
        workflowId: uniqueId('check-policy'),
        args: [{ policyId: 'pol_1' }],
      }),
    );
    expect(result).toEqual({ ok: false, code: 'destination_denied' });
    expect(scripted.inputs('checkPolicy')).toEqual([{ policyId: 'pol_1' }]);
  });
});
