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

/** The SDK gives a server 5 s to start, which a busy machine does not always hold; the next try finds its program in memory. */
export async function startTemporal(options: { timeSkipping: boolean }): Promise<TestWorkflowEnvironment> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await startOnce(options);
    } catch (error) {
      if (tries === 5 || !/did not start within/.test(String(error))) throw error;
    }
  }
}

async function startOnce(options: { timeSkipping: boolean }): Promise<TestWorkflowEnvironment> {
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
  return await TestWorkflowEnvironment.createLocal({ server: { executable: { type: 'existing-path', path } } });
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
