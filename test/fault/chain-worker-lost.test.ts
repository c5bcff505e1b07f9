/** Workers that are killed at exact places of a full: the next one completes it, and no half one ever counts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { masterKeyOpener } from '../../src/keys/key-opener.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { readManifest } from '../../src/storage/read-manifest.js';
import { verifyArtifacts } from '../../src/storage/verify-artifact.js';
import { askForRun, attach, makePolicy } from '../support/attached-server.js';
import { describeEngine, usePrivateEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';

describeEngine('pg17', 'a worker that is lost while it takes a full', () => {
  const source = usePrivateEngine('pg17', { settings: { max_slot_wal_keep_size: '1GB' } });
  const stack = useRunStack();
  let bucket = '';
  let chainId = '';

  beforeAll(async () => {
    const made = await protectDatabase(stack, source);
    const worker = await stack.startWorker();
    const policyId = await makePolicy(stack, made.destination.id, { pitr: false });
    const row = await attach(stack, policyId, made.database.id);
    expect(row).toMatchObject({ status: 'active', pitrStatus: 'disabled', lastError: null });
    await worker.stop();
    bucket = made.bucket;
    chainId = row.chainId ?? '';
  }, 300_000);

  test('by kill -9 while copying, before the manifest and after it, leaves one completed full each time and nothing else of it', async () => {
    for (const place of ['dump-running', 'before-manifest', 'after-manifest']) {
      const fault = stack.placeFaults([place]);
      const worker = await stack.startWorker({ faults: fault.setting });
      const id = await askForRun(stack, chainId, 'full');
      await fault.reached(place, 120_000);
      const half = await stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id } });
      expect(half).toMatchObject({ status: 'in_progress', completedAt: null });
      await worker.kill();
      const next = await stack.startWorker();
      const full = await settledBackup(stack, id, 240_000);
      expect(full).toMatchObject({ status: 'completed', kind: 'full', error: null });
      const attempts = await stack.catalog.prisma.attempt.findMany({ where: { backupId: id } });
      expect(attempts.length).toBeGreaterThan(1);
      expect(attempts.filter(({ published }) => published)).toHaveLength(1);
      await assertWhole(full);
      // The tool and its slot die with the worker.
      await until(
        async () => (await source.query('select slot_name from pg_replication_slots')).length === 0,
        'the temporary slot to be gone',
      );
      await next.stop();
    }
  }, 900_000);

  test('nothing, but its attempt, when a tablespace is made just as it begins: the next attempt takes that along', async () => {
    const fault = stack.placeFaults(['backup-opened']);
    const worker = await stack.startWorker({ faults: fault.setting });
    const id = await askForRun(stack, chainId, 'full');
    await fault.reached('backup-opened', 120_000);
    const place = mkdtempSync(join(tmpdir(), 'tm-place-'));
    giveTo(serverUser(), place);
    try {
      await source.query(`create tablespace late location '${place}'`);
      await source.query('create table there tablespace late as select 1 as a');
      fault.release('backup-opened');
      const full = await settledBackup(stack, id, 120_000);
      expect(full).toMatchObject({ status: 'completed', kind: 'full', error: null });
      const attempts = await stack.catalog.prisma.attempt.findMany({
        where: { backupId: id },
        orderBy: { number: 'asc' },
      });
      expect(attempts.map(({ published }) => published)).toEqual([false, true]);
      expect(attempts[0]?.error).toMatchObject({
        code: 'dump_failed',
        message: expect.stringMatching(/^A tablespace was made on the server .* just as its backup began/),
      });
      await assertWhole(full);
    } finally {
      await worker.stop();
      await source.query('drop table there');
      await source.query('drop tablespace late');
      rmSync(place, { recursive: true, force: true });
    }
  }, 300_000);

  /** All that its manifest names is there and right; after a moment nothing else of it is. */
  async function assertWhole(row: { id: string; serverId: string | null }): Promise<void> {
    const signal = AbortSignal.timeout(60_000);
    const destination = openDestination(stack.store.config(bucket));
    try {
      const { manifest } = await readManifest({
        ...{ destination, ownerId: row.serverId ?? '', backupId: row.id, signal },
        openKey: masterKeyOpener(stack.context.masterKey),
      });
      const { artifacts } = manifest;
      await verifyArtifacts({ destination, artifacts, signal });
      const named = artifacts.flatMap((artifact) => artifact.objects.map((object) => object.key));
      const ofIt = async () => (await storedKeys(stack, bucket)).filter((key) => key.includes(row.id));
      await until(async () => (await ofIt()).length === named.length + 1, 'the remains to be removed', 60_000);
    } finally {
      destination.close();
    }
  }
});
