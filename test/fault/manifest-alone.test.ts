/** A manifest lands although its attempt had given it up and removed its objects. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cancelBackup } from '../../src/usecases/cancel-backup.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';

describeEngine('pg17', 'a manifest without its objects', () => {
  const source = useEngine('pg17');
  const stack = useRunStack();

  test('does not make a cancelled backup completed, and goes with the rest', async () => {
    const fault = stack.placeFaults(['after-manifest']);
    const doomed = await stack.startWorker({ faults: fault.setting });
    const known = await protectDatabase(stack, source);
    const { id } = await requestBackup(stack.context, stack.admin, { planId: known.plan.id });
    await fault.reached('after-manifest');
    await doomed.kill();
    const [dump] = (await storedKeys(stack, known.bucket)).filter((key) => key.includes('dump.pgc'));
    rmSync(join(stack.store.dataDir, known.bucket, dump ?? ''));
    await cancelBackup(stack.context, stack.admin, { backupId: id });
    const worker = await stack.startWorker();
    expect((await settledBackup(stack, id)).status).toBe('cancelled');
    await expect.poll(() => storedKeys(stack, known.bucket), { timeout: 30_000 }).toEqual(['tidemark/v1/owner.json']);
    await worker.stop();
  });
});
