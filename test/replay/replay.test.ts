/** Workflows that began under older code must go on under the present one: recorded histories are replayed against it. */
import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, test } from 'vitest';
import { bundleWorkflows } from '../../src/workers/build-bundle.js';
import { workflowTypes } from '../../src/workflows/messages.js';
import { recordedRuns } from '../support/recorded-runs.js';

const folder = new URL('./histories/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

type Event = { eventType: string; [attributes: string]: unknown };
const read = (file: string) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { events: Event[] };

describe('recorded histories', () => {
  let workflowBundle: { code: string };
  beforeAll(async () => {
    workflowBundle = await bundleWorkflows();
  });

  test.each(files)('%s replays against the present workflows', async (file) => {
    await Worker.runReplayHistory({ workflowBundle }, read(file));
  });

  test('a history whose commands are not what the code does is refused', async () => {
    const history = read('backup-second-attempt.json');
    const scheduled = history.events.find((event) => event.eventType === 'EVENT_TYPE_ACTIVITY_TASK_SCHEDULED');
    const attributes = scheduled?.activityTaskScheduledEventAttributes as { activityType: { name: string } };
    attributes.activityType.name = 'settleBackup';
    await expect(Worker.runReplayHistory({ workflowBundle }, history)).rejects.toThrow(/[Nn]ondeterminism/);
  });

  test('every workflow has a recorded history, and so has every run that the script records', () => {
    const types = new Set(recordedRuns.map((run) => run.type));
    expect([...types].sort()).toEqual(Object.values(workflowTypes).sort());
    expect(files.map((file) => file.replace('.json', '')).sort()).toEqual(recordedRuns.map((run) => run.name).sort());
  });
});
