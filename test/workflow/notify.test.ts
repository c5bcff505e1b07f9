import { WorkflowFailedError } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import { taskQueues } from '../../src/workflows/names.js';
import type { Scripted } from '../support/scripted-activities.js';
import { failure, scriptActivities } from '../support/scripted-activities.js';
import { uniqueId, useWorkflowEnv } from '../support/workflow-env.js';

describe('the notify and clean-up workflows', () => {
  const temporal = useWorkflowEnv();
  const run = (type: string, scripted: Scripted, args: unknown[]) =>
    temporal.run(scripted, (env) =>
      env.client.workflow
        .execute(type, { taskQueue: taskQueues.control, workflowId: uniqueId(type), args })
        .catch((error: unknown) => error),
    );
  const mail = [{ notificationId: 'ntf_1' }];

  test('a mail is tried again while the mail server is away, for more than a day', async () => {
    const away = Array.from({ length: 60 }, () => failure('mail_failed'));
    const scripted = scriptActivities({ sendNotification: [...away, { sent: true }] });
    expect(await run('notify', scripted, mail)).toBeUndefined();
    expect(scripted.inputs('sendNotification')).toHaveLength(61);
    expect(scripted.calls).not.toContain('noteNotificationFailed');
  });

  test('a mail is given up after three days, and its row says so', async () => {
    const scripted = scriptActivities({ sendNotification: [failure('mail_failed')] });
    expect(await run('notify', scripted, mail)).toBeInstanceOf(WorkflowFailedError);
    const tries = scripted.inputs('sendNotification').length;
    expect(tries).toBeGreaterThan(100);
    expect(scripted.inputs('noteNotificationFailed')).toHaveLength(1);
  });

  test('a mail that was refused for good is not tried again', async () => {
    const scripted = scriptActivities({ sendNotification: [failure('mail_refused', 'no such user')] });
    expect(await run('notify', scripted, mail)).toBeInstanceOf(WorkflowFailedError);
    expect(scripted.inputs('sendNotification')).toHaveLength(1);
    expect(scripted.inputs('noteNotificationFailed')).toEqual([
      { notificationId: 'ntf_1', error: { code: 'mail_refused', message: 'no such user' } },
    ]);
  });

  test('a clean-up is tried until nothing is left, whatever stood in the way', async () => {
    const not = { done: false };
    const scripted = scriptActivities({
      cleanUpSource: [not, not, failure('internal'), not, not, not, not, not, { done: true }],
    });
    expect(await run('cleanUpSource', scripted, [{ cleanupId: 'cln_1' }])).toBeUndefined();
    expect(scripted.inputs('cleanUpSource').length).toBeGreaterThanOrEqual(9);
  });
});
