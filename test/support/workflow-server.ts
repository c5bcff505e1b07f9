/** A Temporal server and workers for workflow tests and recordings: time skips where the Java test server is installed. */
import { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkerOptions } from '@temporalio/worker';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { loadConfig } from '../../src/config.js';
import { toolPath } from '../../src/platform/installed.js';
import { taskQueues } from '../../src/workflows/names.js';
import type { Scripted } from './scripted-activities.js';

let installed = false;

/** Failing activities are what these tests are about; the SDK would print each with its stack. */
function quieten(): void {
  if (installed) return;
  installed = true;
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { filter: { core: 'ERROR', other: 'ERROR' } } },
  });
}

export type TemporalOptions = {
  readonly timeSkipping: boolean;
  /** Events of history from which on the real server suggests a new one; by default some thousands. */
  readonly suggestNewHistoryAt?: number;
};

/** The SDK gives a server 5 s to start, which a busy machine does not always hold; the next try finds its program in memory. */
export async function startTemporal(options: TemporalOptions): Promise<TestWorkflowEnvironment> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await startOnce(options);
    } catch (error) {
      if (tries === 5 || !/did not start within/.test(String(error))) throw error;
    }
  }
}

async function startOnce(options: TemporalOptions): Promise<TestWorkflowEnvironment> {
  quieten();
  const { install } = loadConfig();
  const skipping = options.timeSkipping ? toolPath('temporal-test-server', install) : null;
  if (skipping !== null) {
    return await TestWorkflowEnvironment.createTimeSkipping({
      server: { executable: { type: 'existing-path', path: skipping } },
    });
  }
  const path = toolPath('temporal', install);
  if (path === null) throw new Error('the Temporal server is not installed: run `npm run setup`');
  const { suggestNewHistoryAt: count } = options;
  const extraArgs =
    count === undefined ? [] : ['--dynamic-config-value', `limit.historyCount.suggestContinueAsNew=${count}`];
  return await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'existing-path', path }, extraArgs },
  });
}

export async function serve<T>(
  env: TestWorkflowEnvironment,
  bundle: { code: string },
  scripted: Scripted,
  act: () => Promise<T>,
): Promise<T> {
  const shared: Omit<WorkerOptions, 'taskQueue'> = {
    connection: env.nativeConnection,
    namespace: env.namespace ?? 'default',
    activities: scripted.activities,
    maxHeartbeatThrottleInterval: '200ms',
    defaultHeartbeatThrottleInterval: '200ms',
  };
  const control = await Worker.create({ ...shared, taskQueue: taskQueues.control, workflowBundle: bundle });
  const data = await Worker.create({ ...shared, taskQueue: taskQueues.data });
  const stream = await Worker.create({ ...shared, taskQueue: taskQueues.stream });
  return await control.runUntil(data.runUntil(stream.runUntil(act)));
}
