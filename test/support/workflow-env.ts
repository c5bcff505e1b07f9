/** The Temporal server of a workflow test file. */
import { randomUUID } from 'node:crypto';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll } from 'vitest';
import { bundleWorkflows } from '../../src/workers/build-bundle.js';
import type { Scripted } from './scripted-activities.js';
import type { TemporalOptions } from './workflow-server.js';
import { serve, startTemporal } from './workflow-server.js';

export interface WorkflowEnv {
  readonly env: TestWorkflowEnvironment;
  /** Serves both queues with these activities while `act` runs. */
  run<T>(scripted: Scripted, act: (env: TestWorkflowEnvironment) => Promise<T>): Promise<T>;
}

export function useWorkflowEnv(options: TemporalOptions = { timeSkipping: true }): WorkflowEnv {
  let env: TestWorkflowEnvironment | undefined;
  let bundle: { code: string } | undefined;
  beforeAll(async () => {
    [env, bundle] = await Promise.all([startTemporal(options), bundleWorkflows()]);
  });
  afterAll(() => env?.teardown());
  return {
    get env() {
      if (env === undefined) throw new Error('Temporal is not started yet');
      return env;
    },
    async run(scripted, act) {
      if (env === undefined || bundle === undefined) throw new Error('Temporal is not started yet');
      const given = env;
      return await serve(given, bundle, scripted, () => act(given));
    },
  };
}

/** An id that no other test has. */
export const uniqueId = (name: string) => `${name}/${randomUUID().slice(0, 8)}`;
