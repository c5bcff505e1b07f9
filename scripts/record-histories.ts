/**
 * Records the histories that `test/replay` replays: `node --import tsx scripts/record-histories.ts [name…]`.
 *
 * Record from the code that is deployed, before a workflow is changed: a history recorded with the change proves nothing about runs that
 * began before it. Existing files are kept unless they are named.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { bundleWorkflows } from '../src/workers/build-bundle.js';
import { taskQueues } from '../src/workflows/names.js';
import type { RecordedRun } from '../test/support/recorded-runs.js';
import { recordedRuns } from '../test/support/recorded-runs.js';
import { scriptActivities } from '../test/support/scripted-activities.js';
import { until } from '../test/support/until.js';
import { serve, startTemporal } from '../test/support/workflow-server.js';

const folder = fileURLToPath(new URL('../test/replay/histories/', import.meta.url));
const checkout = fileURLToPath(new URL('../', import.meta.url));
const asked = process.argv.slice(2);
const wanted = (run: RecordedRun) =>
  asked.length > 0 ? asked.includes(run.name) : !existsSync(`${folder}${run.name}.json`);

mkdirSync(folder, { recursive: true });
// A real server: the time-skipping one leaves out what a real history has.
// Suggests new histories early, so that one that was continued is a page and not a book.
const env = await startTemporal({ timeSkipping: false, suggestNewHistoryAt: 60 });
try {
  const bundle = await bundleWorkflows();
  for (const run of recordedRuns.filter(wanted)) {
    const scripted = scriptActivities(run.script);
    await serve(env, bundle, scripted, async () => {
      const handle = await env.client.workflow.start(run.type, {
        taskQueue: taskQueues.control,
        workflowId: `recorded/${run.name}`,
        args: [...run.args],
        staticSummary: `Recorded: ${run.name}`,
      });
      if (run.interrupt !== undefined) {
        const { during, act } = run.interrupt;
        await until(() => scripted.calls.some((call) => call === during), `${during} to run`);
        await act(handle);
      }
      await handle.result().catch(() => undefined);
      // The first of them, where there are several: it ends by being continued.
      const first = env.client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId);
      const history = await first.fetchHistory();
      // Stack traces name files: by their place in the checkout, not by that of the machine it was recorded on.
      const json = JSON.stringify(JSON.parse(historyToJSON(history)), null, 1).replaceAll(checkout, '');
      writeFileSync(`${folder}${run.name}.json`, `${json}\n`);
      console.log(`${run.name}: ${history.events?.length ?? 0} events`);
    });
  }
} finally {
  await env.teardown();
}
