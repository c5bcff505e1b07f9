/** Use cases together with a worker of their own process: what a request sets going, seen to its end. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeAll, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { newMasterKey } from '../../src/keys/master-key.js';
import { checkDatabase } from '../../src/usecases/check-database.js';
import { checkDestination, takeOverDestination } from '../../src/usecases/check-destination.js';
import { createDestination } from '../../src/usecases/create-destination.js';
import { createPlan } from '../../src/usecases/create-plan.js';
import { deleteBackup } from '../../src/usecases/delete-backup.js';
import { downloadBackup } from '../../src/usecases/download-backup.js';
import { getDatabase } from '../../src/usecases/get-database.js';
import { getDestination } from '../../src/usecases/get-destination.js';
import { listBackupFiles } from '../../src/usecases/list-backup-files.js';
import { listBackups } from '../../src/usecases/list-backups.js';
import { listServers } from '../../src/usecases/list-servers.js';
import { reconcileOnce } from '../../src/usecases/reconcile.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { rotateMasterKey } from '../../src/usecases/rotate-master-key.js';
import { updateDatabase } from '../../src/usecases/update-database.js';
import { updateDestination } from '../../src/usecases/update-destination.js';
import { updatePlan } from '../../src/usecases/update-plan.js';
import { backupWorkflowId, planScheduleId } from '../../src/workflows/names.js';
import { describeEngine, useEngine } from '../support/engine-servers.js';
import { protectDatabase, settledBackup, storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { until } from '../support/until.js';
import { errorOf } from '../support/usecase-stack.js';

describeEngine('pg17', 'use cases and a worker', () => {
  const source = useEngine('pg17');
  const stack = useRunStack();
  beforeAll(async () => {
    await stack.startWorker();
  });

  async function backedUp(options: Parameters<typeof protectDatabase>[2] = {}) {
    const made = await protectDatabase(stack, source, options);
    const { id } = await requestBackup(stack.context, stack.admin, { planId: made.plan.id });
    expect(await settledBackup(stack, id)).toMatchObject({ status: 'completed', error: null });
    return { ...made, backupId: id };
  }

  const download = (backupId: string, file?: string) =>
    downloadBackup(stack.context, stack.admin, { backupId, file, signal: AbortSignal.timeout(60_000) });

  test('a check finds server, version and capabilities, and says what is wrong in a sentence', async () => {
    const { context, admin } = stack;
    const { database, destination } = await protectDatabase(stack, source);
    const good = await checkDatabase(context, admin, { databaseId: database.id });
    expect(good.ok).toBe(true);
    const row = await getDatabase(context, admin, { databaseId: database.id });
    expect(row).toMatchObject({ capabilities: { dump: true }, checkError: null });
    expect(row.serverVersion).toMatch(/^17\./);
    const servers = await listServers(context, admin, { limit: 50 });
    expect(servers.items.find((server) => server.id === row.serverId)?.databases).toBeGreaterThan(0);

    expect(await checkDestination(context, admin, { destinationId: destination.id })).toMatchObject({ ok: true });
    const verified = await getDestination(context, admin, { destinationId: destination.id });
    expect(verified.credentialsVerifiedAt).not.toBeNull();

    const secret = 'wrong-password-that-nobody-may-see';
    await updateDatabase(context, admin, { databaseId: database.id, changes: { password: secret } });
    const wrong = await checkDatabase(context, admin, { databaseId: database.id });
    expect(wrong).toMatchObject({ ok: false, findings: [{ severity: 'refuses', code: 'authentication_failed' }] });
    expect(JSON.stringify(wrong)).not.toContain(secret);
    await updateDatabase(context, admin, { databaseId: database.id, changes: { port: 1, password: secret } });
    const away = await checkDatabase(context, admin, { databaseId: database.id });
    expect(away.findings[0]).toMatchObject({ code: 'database_unreachable' });

    const keys = { accessKeyId: 'nobody', secretAccessKey: 'planted-key-of-nobody' };
    await updateDestination(context, admin, { destinationId: destination.id, changes: keys });
    const denied = await checkDestination(context, admin, { destinationId: destination.id });
    expect(denied).toMatchObject({ ok: false, findings: [{ code: 'destination_denied' }] });
    expect(JSON.stringify(denied)).not.toContain('planted-key-of-nobody');
  });

  test('a destination that another installation writes to is refused until an administrator takes it over', async () => {
    const { context, admin, store } = stack;
    const { destination, bucket, plan } = await protectDatabase(stack, source);
    const destinationId = destination.id;
    await until(async () => (await storedKeys(stack, bucket)).length > 0, 'the first check', 30_000);
    const before = await settledBackup(stack, (await requestBackup(context, admin, { planId: plan.id })).id);
    expect(before).toMatchObject({ status: 'completed' });
    const body = JSON.stringify({
      format: 'tidemark-owner-1',
      installationId: 'inst_0000000000000000',
      claimedAt: '2026-01-01T00:00:00.000Z',
      previous: [],
    });
    await store.client().send(new PutObjectCommand({ Bucket: bucket, Key: 'tidemark/v1/owner.json', Body: body }));
    const refused = await checkDestination(context, admin, { destinationId });
    expect(refused).toMatchObject({ ok: false, findings: [{ code: 'destination_owned_by_other' }] });
    const failed = await settledBackup(stack, (await requestBackup(context, admin, { planId: plan.id })).id);
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'destination_owned_by_other' } });
    expect(JSON.stringify(failed.error)).toContain('inst_0000000000000000');
    // What the other one writes is not removed either, however it came into this catalog.
    const stored = await storedKeys(stack, bucket);
    await deleteBackup(context, admin, { backupId: before.id });
    const row = () => stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id: before.id } });
    await until(async () => (await row()).deleteError !== null, 'the deletion to be refused', 30_000);
    expect(await row()).toMatchObject({ deletedAt: null, deleteError: { code: 'destination_owned_by_other' } });
    expect(await storedKeys(stack, bucket)).toEqual(stored);

    const user = { ...admin, role: 'user' as const };
    expect((await errorOf(takeOverDestination(context, user, { destinationId }))).code).toBe('forbidden');
    expect(await takeOverDestination(context, admin, { destinationId })).toMatchObject({ ok: true });
    const good = await settledBackup(stack, (await requestBackup(context, admin, { planId: plan.id })).id);
    expect(good).toMatchObject({ status: 'completed' });
  }, 60_000);

  test('a folder whose share is not mounted is neither written to nor taken for empty, until it is back or given up', async () => {
    const { context, admin } = stack;
    const { database } = await protectDatabase(stack, source);
    const path = join(stack.home, 'share');
    mkdirSync(path);
    const { id: destinationId } = await createDestination(context, admin, {
      name: 'a share',
      type: 'directory',
      path,
      prefix: '',
      enabled: true,
    });
    const plan = await createPlan(context, admin, {
      name: 'into a share',
      databaseId: database.id,
      destinationId,
      schedule: { type: 'manual' },
      encryption: true,
    });
    const backUp = async () => settledBackup(stack, (await requestBackup(context, admin, { planId: plan.id })).id);
    const first = await backUp();
    expect(first.status).toBe('completed');

    renameSync(path, `${path}-away`);
    mkdirSync(path);
    const refused = { code: 'destination_not_mounted', message: expect.stringContaining(path) };
    expect(await checkDestination(context, admin, { destinationId })).toMatchObject({ ok: false, findings: [refused] });
    expect(await backUp()).toMatchObject({ status: 'failed', error: refused });
    await deleteBackup(context, admin, { backupId: first.id });
    const row = () => stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id: first.id } });
    await until(async () => (await row()).deleteError !== null, 'the deletion to be refused', 30_000);
    expect(await row()).toMatchObject({ deletedAt: null, deleteError: refused });
    expect(readdirSync(path)).toEqual([]);

    rmdirSync(path);
    renameSync(`${path}-away`, path);
    expect((await backUp()).status).toBe('completed');
    renameSync(path, `${path}-away`);
    mkdirSync(path);
    expect(await takeOverDestination(context, admin, { destinationId })).toMatchObject({ ok: true });
    expect((await backUp()).status).toBe('completed');
  }, 90_000);

  test("a download is the engine's own file, whole and with its size, encrypted or not", async () => {
    for (const encryption of [true, false]) {
      const { backupId, name } = await backedUp({ encryption });
      const { items } = await listBackupFiles(stack.context, stack.admin, { backupId });
      expect(items.map((item) => item.role).sort()).toEqual(['dump', 'fingerprint']);
      const got = await download(backupId);
      expect(got.filename).toMatch(new RegExp(`^${name.replaceAll('_', '-')}-\\d{4}-\\d\\d-\\d\\dT.*Z-dump\\.pgc$`));
      const content = await buffer(got.stream);
      expect(content.length).toBe(got.bytes);
      expect(content.subarray(0, 5).toString()).toBe('PGDMP');
      const print = await buffer((await download(backupId, 'fingerprint.json')).stream);
      expect(JSON.parse(print.toString()).tables).toHaveLength(2);
      expect((await errorOf(download(backupId, 'manifest.json'))).code).toBe('invalid_request');
    }
  });

  test('a download of a damaged object breaks off with an error that names the object', async () => {
    const { backupId, bucket } = await backedUp();
    const key = (await storedKeys(stack, bucket)).find((one) => one.includes('dump.pgc')) ?? '';
    const path = join(stack.store.dataDir, bucket, key);
    const bytes = readFileSync(path);
    const middle = Math.floor(bytes.length / 2);
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const error = await errorOf(download(backupId).then((got) => buffer(got.stream)));
    expect(error.code).toBe('object_corrupt');
    expect(error.message).toContain(key);
  });

  test('a schedule takes backups, and one that finds the database busy is recorded as skipped with the run in its way', async () => {
    const { context, admin } = stack;
    const { plan } = await protectDatabase(stack, source);
    const schedule = { type: 'interval', everySeconds: 86_400 } as const;
    await updatePlan(context, admin, { planId: plan.id, changes: { schedule } });
    const handle = context.temporal.schedule.getHandle(planScheduleId(plan.id));
    const find = async (status: 'completed' | 'skipped') =>
      (await listBackups(context, admin, { limit: 10, planId: plan.id, status })).items[0];
    await handle.trigger();
    const taken = await until(() => find('completed'), 'the scheduled backup', 60_000);
    expect(taken).toMatchObject({ trigger: 'schedule', requestedBy: null });
    expect(taken.scheduledFor).not.toBeNull();

    // A run in the way, held still: its row is there, its workflow is not.
    const row = await stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id: taken.id } });
    const { kind, databaseId, planId, destinationId, trigger } = row;
    const blocker = await stack.catalog.prisma.backup.create({
      data: { id: newId('backup'), kind, databaseId, planId, destinationId, trigger, activeKey: databaseId },
    });
    // A schedule's times are whole seconds, and the run of one time is claimed once: within the same second this would be the first run again.
    const next = new Date(taken.scheduledFor ?? 0).getTime() + 1_000;
    await until(() => Date.now() > next, 'the next second');
    await handle.trigger();
    const skipped = await until(() => find('skipped'), 'the skipped backup', 60_000);
    expect(skipped).toMatchObject({ blockedBy: blocker.id, error: { code: 'run_in_progress' } });
  });

  test('a backup whose manifest was published when its workflow was lost is adopted, not taken again', async () => {
    const { context } = stack;
    const { backupId, bucket } = await backedUp();
    const before = await storedKeys(stack, bucket);
    // The row is settled before its workflow has tidied up; the reconciler leaves a run that lives alone.
    await context.temporal.workflow.getHandle(backupWorkflowId(backupId)).result();
    // As after the death of the worker between the manifest and the catalog, followed by the end of the workflow.
    const { databaseId } = await stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id: backupId } });
    const progress = { phase: 'publishing', bytes: 1, percent: 99 };
    const lost = { status: 'in_progress', activeKey: databaseId, completedAt: null, manifestKey: null, progress };
    await stack.catalog.prisma.backup.update({ where: { id: backupId }, data: lost });
    expect((await reconcileOnce(context))?.changes.runsStarted).toContain(backupId);
    expect(await settledBackup(stack, backupId)).toMatchObject({ status: 'completed', error: null });
    expect(await storedKeys(stack, bucket)).toEqual(before);
    expect((await buffer((await download(backupId)).stream)).subarray(0, 5).toString()).toBe('PGDMP');
  });

  // Last: the workers keep the old key.
  test('after a rotation of the master key every backup is still read, and with the old key none', async () => {
    const { context, admin } = stack;
    const { backupId } = await backedUp();
    const to = newMasterKey();
    const done = await rotateMasterKey(context, admin, { to, putInPlace: async () => undefined });
    expect(done.wrappingKeys).toBeGreaterThan(0);
    const rotated = { ...context, masterKey: to };
    const signal = AbortSignal.timeout(60_000);
    const got = await downloadBackup(rotated, admin, { backupId, signal });
    expect((await buffer(got.stream)).length).toBe(got.bytes);
    expect((await errorOf(download(backupId))).code).toBe('wrong_master_key');
  });
});
