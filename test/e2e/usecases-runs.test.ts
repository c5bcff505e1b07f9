import { describe, expect, it } from 'vitest';
import { newMasterKey } from '../../src/keys/master-key.js';
import { openText, secretContext } from '../../src/keys/seal.js';
import { openWrappingKey } from '../../src/keys/wrapping-key.js';
import { cancelBackup } from '../../src/usecases/cancel-backup.js';
import { cancelRestore } from '../../src/usecases/cancel-restore.js';
import { createPlan } from '../../src/usecases/create-plan.js';
import { deleteBackup } from '../../src/usecases/delete-backup.js';
import { deleteDatabase } from '../../src/usecases/delete-database.js';
import { deleteDestination } from '../../src/usecases/delete-destination.js';
import { deletePlan } from '../../src/usecases/delete-plan.js';
import { exportPlanKey } from '../../src/usecases/export-plan-key.js';
import { getBackup } from '../../src/usecases/get-backup.js';
import { getPlan } from '../../src/usecases/get-plan.js';
import { listBackups } from '../../src/usecases/list-backups.js';
import { listRestores, listRestoresOfBackup, listRestoresOfPlan } from '../../src/usecases/list-restores.js';
import { pausePlan } from '../../src/usecases/pause-plan.js';
import { previewRetention } from '../../src/usecases/preview-retention.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { resumePlan } from '../../src/usecases/resume-plan.js';
import { revertRestore } from '../../src/usecases/revert-restore.js';
import { rotateMasterKey } from '../../src/usecases/rotate-master-key.js';
import { rotatePlanKey } from '../../src/usecases/rotate-plan-key.js';
import { updatePlan } from '../../src/usecases/update-plan.js';
import { backupWorkflowId, planScheduleId, restoreWorkflowId } from '../../src/workflows/names.js';
import { completeBackupRow, errorOf, registerDatabase, registerPlan, useUsecases } from '../support/usecase-stack.js';

const stack = useUsecases();
type Context = typeof stack.context;

const scheduleOf = (context: Context, planId: string) =>
  context.temporal.schedule.getHandle(planScheduleId(planId)).describe();

async function completedBackup(owner = stack.admin) {
  const made = await registerPlan(stack.context, owner);
  const backup = await requestBackup(stack.context, owner, { planId: made.plan.id });
  await completeBackupRow(stack.context, backup.id);
  return { ...made, backupId: backup.id };
}

describe('plans', () => {
  it.each([
    { type: 'interval', everySeconds: 3600 } as const,
    { type: 'cron', expression: '30 2 * * *', timezone: 'Europe/Berlin' } as const,
    { type: 'cron', expression: '*/15 8-17 * jan-jun mon-fri', timezone: 'America/New_York' } as const,
    { type: 'cron', expression: '0 4 13 * 5', timezone: 'UTC' } as const,
    { type: 'cron', expression: '0 4 */2 * SUN', timezone: 'UTC' } as const,
    { type: 'cron', expression: '5 */6 * * 7', timezone: 'UTC' } as const,
    { type: 'cron', expression: '0 0 1,15 * *', timezone: 'Asia/Kolkata' } as const,
  ])('say the next five runs exactly as Temporal will do them: $type $expression $everySeconds', async (schedule) => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin, { schedule });
    const description = await scheduleOf(context, plan.id);
    const temporal = description.info.nextActionTimes.slice(0, 5).map((time) => time.toISOString());
    expect(plan.nextRuns).toEqual(temporal);
    expect(plan.nextRuns).toHaveLength(5);
    expect(description.policies.overlap).toBe('SKIP');
    expect(description.policies.catchupWindow).toBeLessThanOrEqual(24 * 3_600_000);
  });

  it.each([
    ['61 * * * *', 'UTC', '/schedule/expression'],
    ['* * * *', 'UTC', '/schedule/expression'],
    ['0 0 31 2 *', 'UTC', '/schedule/expression'],
    ['@daily x x x x', 'UTC', '/schedule/expression'],
    ['0 0 L * *', 'UTC', '/schedule/expression'],
    ['0 0 * * * *', 'UTC', '/schedule/expression'],
    ['0 0 * * *', 'Europe/Atlantis', '/schedule/timezone'],
  ])('refuse the schedule "%s" in %s, naming the field', async (expression, timezone, field) => {
    const { context, admin } = stack;
    const refused = await errorOf(registerPlan(context, admin, { schedule: { type: 'cron', expression, timezone } }));
    expect(refused.code).toBe('invalid_request');
    expect(refused.details.fields?.[0]?.field).toBe(field);
  });

  it('refuse real time with not_supported', async () => {
    const refused = await errorOf(registerPlan(stack.context, stack.admin, { schedule: { type: 'realtime' } }));
    expect(refused.code).toBe('not_supported');
  });

  it('pause and resume their schedule, change it with the plan, and take it along when they go', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin, { schedule: { type: 'interval', everySeconds: 600 } });
    const paused = await pausePlan(context, admin, { planId: plan.id });
    expect(paused).toMatchObject({ status: 'paused', nextRuns: [] });
    expect((await scheduleOf(context, plan.id)).state.paused).toBe(true);
    await resumePlan(context, admin, { planId: plan.id });
    await updatePlan(context, admin, {
      planId: plan.id,
      changes: { schedule: { type: 'interval', everySeconds: 900 } },
    });
    const changed = await scheduleOf(context, plan.id);
    expect(changed.state).toMatchObject({ paused: false, note: expect.stringContaining('revision 4 ') });
    expect(changed.spec.intervals?.[0]?.every).toBe(900_000);
    await updatePlan(context, admin, { planId: plan.id, changes: { schedule: { type: 'manual' } } });
    await expect(scheduleOf(context, plan.id)).rejects.toThrow();
    await updatePlan(context, admin, {
      planId: plan.id,
      changes: { schedule: { type: 'interval', everySeconds: 60 } },
    });
    await scheduleOf(context, plan.id);
    await deletePlan(context, admin, { planId: plan.id });
    await expect(scheduleOf(context, plan.id)).rejects.toThrow();
    expect((await errorOf(getPlan(context, admin, { planId: plan.id }))).code).toBe('not_found');
  });

  it('cannot be made with the database or the destination of somebody else', async () => {
    const { context, admin } = stack;
    const anna = await stack.addUser();
    const own = await registerPlan(context, anna);
    const foreign = await registerPlan(context, admin);
    const make = (databaseId: string, destinationId: string) =>
      createPlan(context, anna, {
        name: 'p',
        databaseId,
        destinationId,
        schedule: { type: 'manual' },
        encryption: true,
      });
    expect((await errorOf(make(foreign.database.id, own.destination.id))).details.object).toBe(foreign.database.id);
    expect((await errorOf(make(own.database.id, foreign.destination.id))).details.object).toBe(foreign.destination.id);
  });

  it('have a wrapping key of their own only while encryption is on', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin, { encryption: false });
    const keyOf = async () => (await context.catalog.prisma.plan.findUniqueOrThrow({ where: { id: plan.id } })).keyId;
    expect(await keyOf()).toBeNull();
    await updatePlan(context, admin, { planId: plan.id, changes: { encryption: true } });
    const first = await keyOf();
    expect(first).not.toBeNull();
    const { keyId, retiredKeyId } = await rotatePlanKey(context, admin, { planId: plan.id });
    expect(retiredKeyId).toBe(first);
    const exported = await exportPlanKey(context, admin, { planId: plan.id });
    const row = await context.catalog.prisma.wrappingKey.findUniqueOrThrow({ where: { id: keyId } });
    const opened = await openWrappingKey(context.masterKey, row.id, row.sealed);
    expect(Buffer.from(exported.key, 'base64').equals(Buffer.from(opened.bytes))).toBe(true);
    const user = await stack.addUser();
    expect((await errorOf(exportPlanKey(context, user, { planId: plan.id }))).code).toBe('forbidden');
  });

  it('preview their retention by count and never give up the newest backup', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin, { retention: { count: 2, days: 1 } });
    const ids: string[] = [];
    for (const daysAgo of [30, 20, 10]) {
      const { id } = await requestBackup(context, admin, { planId: plan.id });
      await completeBackupRow(context, id);
      const then = new Date(Date.now() - daysAgo * 86_400_000);
      await context.catalog.prisma.backup.update({ where: { id }, data: { createdAt: then, takenAt: then } });
      ids.unshift(id);
    }
    expect(await previewRetention(context, admin, { planId: plan.id })).toEqual({
      keeps: ids.slice(0, 1),
      removes: ids.slice(1),
    });
  });
});

describe('backups', () => {
  it('start their workflow with a readable id, a summary, search attributes and no secret', async () => {
    const { context, admin } = stack;
    const { plan, database } = await registerPlan(context, admin);
    const backup = await requestBackup(context, admin, { planId: plan.id, label: 'before migration' });
    expect(backup).toMatchObject({ status: 'pending', label: 'before migration', trigger: 'manual', encrypted: true });
    const handle = context.temporal.workflow.getHandle(backupWorkflowId(backup.id));
    const description = await handle.describe();
    expect(description.status.name).toBe('RUNNING');
    expect(JSON.stringify(description.searchAttributes)).toContain(database.id);
    expect(await description.staticSummary()).toContain(database.name);
    expect(description.priority?.priorityKey).toBe(2);
    expect(JSON.stringify(await handle.fetchHistory())).not.toContain('planted-');
  });

  it('refuse a second run of a database and name the first, whatever plan asks', async () => {
    const { context, admin } = stack;
    const { plan, database, destination } = await registerPlan(context, admin);
    const other = await createPlan(context, admin, {
      name: 'other',
      databaseId: database.id,
      destinationId: destination.id,
      schedule: { type: 'manual' },
      encryption: false,
    });
    const answers = await Promise.allSettled(
      [plan.id, other.id, plan.id, other.id].map((planId) => requestBackup(context, admin, { planId })),
    );
    const started = answers.filter((answer) => answer.status === 'fulfilled');
    expect(started).toHaveLength(1);
    const refused = await errorOf(requestBackup(context, admin, { planId: other.id }));
    expect(refused.code).toBe('run_in_progress');
    expect(refused.details.references).toEqual([started[0]?.value.id]);
  });

  it('of a bare database need a policy: destination_required', async () => {
    const { context, admin } = stack;
    const database = await registerDatabase(context, admin);
    expect((await errorOf(requestBackup(context, admin, { databaseId: database.id }))).code).toBe(
      'destination_required',
    );
  });

  it('are refused while the destination is disabled', async () => {
    const { context, admin } = stack;
    const { plan, destination } = await registerPlan(context, admin);
    await context.catalog.prisma.destination.update({ where: { id: destination.id }, data: { enabled: false } });
    expect((await errorOf(requestBackup(context, admin, { planId: plan.id }))).code).toBe('destination_disabled');
    expect(await context.catalog.prisma.backup.count({ where: { planId: plan.id } })).toBe(0);
  });

  it('pass a cancel on to the workflow, and refuse one for a settled run', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const { id } = await requestBackup(context, admin, { planId: plan.id });
    expect((await cancelBackup(context, admin, { backupId: id })).cancelRequestedAt).not.toBeNull();
    const history = await context.temporal.workflow.getHandle(backupWorkflowId(id)).fetchHistory();
    expect(history.events?.some((event) => event.workflowExecutionCancelRequestedEventAttributes)).toBe(true);
    await completeBackupRow(context, id);
    expect((await errorOf(cancelBackup(context, admin, { backupId: id }))).code).toBe('conflict');
  });

  it('are not deleted while they run or a restore reads them', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const { id } = await requestBackup(context, admin, { planId: plan.id });
    expect((await errorOf(deleteBackup(context, admin, { backupId: id }))).code).toBe('run_in_progress');
    await completeBackupRow(context, id);
    const restore = await requestRestore(context, admin, {
      source: { kind: 'backup', backupId: id },
      target: { kind: 'original' },
      overwrite: true,
      confirmOverwrite: true,
      keepPreviousHours: 24,
    });
    const refused = await errorOf(deleteBackup(context, admin, { backupId: id }));
    expect(refused.code).toBe('still_referenced');
    expect(refused.details.references).toEqual([restore.id]);
    await context.catalog.prisma.restore.update({
      where: { id: restore.id },
      data: { status: 'failed', activeKey: null },
    });
    expect((await deleteBackup(context, admin, { backupId: id })).state).toBe('removing');
    expect((await getBackup(context, admin, { backupId: id })).deleteRequestedAt).not.toBeNull();
    const again = await errorOf(
      requestRestore(context, admin, {
        source: { kind: 'backup', backupId: id },
        target: { kind: 'original' },
        overwrite: true,
        confirmOverwrite: true,
        keepPreviousHours: 24,
      }),
    );
    expect(again.code).toBe('backup_not_restorable');
  });

  it('are found by status, kind, time, plan and text in label, id and names', async () => {
    const { context, admin } = stack;
    const { plan, database } = await registerPlan(context, admin);
    const first = await requestBackup(context, admin, { planId: plan.id, label: 'Quarterly 100%' });
    await completeBackupRow(context, first.id);
    const second = await requestBackup(context, admin, { planId: plan.id });
    const find = async (filter: object) =>
      (await listBackups(context, admin, { limit: 50, planId: plan.id, ...filter })).items.map((item) => item.id);
    expect(await find({})).toEqual([second.id, first.id]);
    expect(await find({ status: 'completed' })).toEqual([first.id]);
    expect(await find({ kind: 'full' })).toEqual([]);
    expect(await find({ q: 'quarterly 100%' })).toEqual([first.id]);
    expect(await find({ q: second.id.slice(0, 12) })).toEqual([second.id]);
    expect(await find({ q: database.name })).toHaveLength(2);
    expect(await find({ from: second.createdAt })).toEqual([second.id]);
    expect(await find({ to: second.createdAt })).toEqual([first.id]);
  });
});

describe('of two requests at once that exclude each other', () => {
  it('a deletion and a new reference never both succeed', async () => {
    const { context, admin } = stack;
    for (let round = 0; round < 8; round += 1) {
      const { database, destination } = await registerPlan(context, admin);
      await context.catalog.prisma.plan.deleteMany({ where: { databaseId: database.id } });
      const ids = { databaseId: database.id, destinationId: destination.id };
      const [deleted, planned] = await Promise.allSettled([
        round % 2 === 0 ? deleteDatabase(context, admin, ids) : deleteDestination(context, admin, ids),
        createPlan(context, admin, { name: 'p', ...ids, schedule: { type: 'manual' }, encryption: false }),
      ]);
      expect([deleted.status, planned.status].sort()).toEqual(['fulfilled', 'rejected']);
    }
  });

  it('the deletion of a backup and its restore never both succeed', async () => {
    const { context, admin } = stack;
    for (let round = 0; round < 6; round += 1) {
      const { backupId } = await completedBackup();
      const answers = await Promise.allSettled([
        deleteBackup(context, admin, { backupId }),
        requestRestore(context, admin, {
          source: { kind: 'backup', backupId },
          target: { kind: 'original' },
          overwrite: true,
          confirmOverwrite: true,
          keepPreviousHours: 1,
        }),
      ]);
      expect(answers.map((answer) => answer.status).sort()).toEqual(['fulfilled', 'rejected']);
    }
  });
});

describe('restores', () => {
  const request = (backupId: string, changes: object) =>
    ({
      source: { kind: 'backup', backupId },
      overwrite: false,
      confirmOverwrite: false,
      keepPreviousHours: 24,
      ...changes,
    }) as Parameters<typeof requestRestore>[2];

  it('refuse what is not there yet, what is missing and what is not completed, each with its own code', async () => {
    const { context, admin } = stack;
    const { backupId, plan, destination } = await completedBackup();
    const code = async (input: object) =>
      (await errorOf(requestRestore(context, admin, request(backupId, input)))).code;
    expect(await code({})).toBe('target_required');
    expect(await code({ target: { kind: 'new_preview' } })).toBe('not_supported');
    expect(await code({ target: { kind: 'original' }, overwrite: true })).toBe('confirmation_required');
    expect(await code({ source: { kind: 'stream', planId: plan.id } })).toBe('not_supported');
    expect(await code({ source: { kind: 'pitr', databaseId: plan.databaseId } })).toBe('outside_window');
    const running = await requestBackup(context, admin, { planId: plan.id });
    expect(await code({ source: { kind: 'backup', backupId: running.id }, target: { kind: 'original' } })).toBe(
      'backup_not_restorable',
    );
    const own = { kind: 'server', host: 'h', username: 'u', password: 'p' };
    for (const name of ['template1', 'tm_stage_x_1', 'shop__before_rst_0123456789abcdef']) {
      expect(await code({ target: { ...own, database: name } })).toBe('invalid_request');
    }
    await context.catalog.prisma.destination.update({ where: { id: destination.id }, data: { enabled: false } });
    expect(await code({ target: { kind: 'original' } })).toBe('destination_disabled');
    await context.catalog.prisma.destination.update({ where: { id: destination.id }, data: { deletedAt: new Date() } });
    expect(await code({ target: { kind: 'original' } })).toBe('destination_deleted');
  });

  it('recognise the original behind another spelling of its address', async () => {
    const { context, admin } = stack;
    const { backupId, database } = await completedBackup();
    const target = {
      kind: 'server',
      host: 'LOCALHOST',
      port: 5999,
      username: 'u',
      password: 'p',
      database: database.database,
    };
    expect((await errorOf(requestRestore(context, admin, request(backupId, { target })))).code).toBe(
      'confirmation_required',
    );
    const { id } = await requestRestore(context, admin, request(backupId, { target, confirmOverwrite: true }));
    const direct = request(backupId, { target: { kind: 'original' }, confirmOverwrite: true });
    const busy = await errorOf(requestRestore(context, admin, direct));
    expect(busy.code).toBe('run_in_progress');
    expect(busy.details.references).toEqual([id]);
  });

  it("do not go to another user's database, nor to another engine", async () => {
    const { context, admin } = stack;
    const anna = await stack.addUser();
    const { backupId } = await completedBackup(anna);
    const foreign = await registerDatabase(context, admin);
    const into = (databaseId: string) =>
      request(backupId, { target: { kind: 'server', databaseId, database: 'copy' } });
    expect((await errorOf(requestRestore(context, anna, into(foreign.id)))).code).toBe('not_found');
    const own = await registerDatabase(context, anna);
    await context.catalog.prisma.database.update({ where: { id: own.id }, data: { engine: 'mysql' } });
    expect((await errorOf(requestRestore(context, anna, into(own.id)))).code).toBe('not_supported');
    const bert = await stack.addUser();
    expect((await errorOf(requestRestore(context, bert, into(own.id)))).details.object).toBe(backupId);
  });

  it('seal the password of a connection in the request for this restore alone', async () => {
    const { context, admin } = stack;
    const { backupId, plan } = await completedBackup();
    const target = {
      kind: 'server',
      host: 'target.example',
      username: 'u',
      password: 'one-shot-secret',
      database: 'copy',
    };
    const restore = await requestRestore(context, admin, request(backupId, { target }));
    expect(restore.target).toEqual({
      kind: 'server',
      databaseId: null,
      host: 'target.example',
      port: 5432,
      username: 'u',
      database: 'copy',
    });
    const secret = await context.catalog.prisma.secret.findFirstOrThrow({ where: { restoreId: restore.id } });
    expect(await openText(context.masterKey, secret.sealed, secretContext(secret.id))).toContain('one-shot-secret');
    const handle = context.temporal.workflow.getHandle(restoreWorkflowId(restore.id));
    expect((await handle.describe()).priority?.priorityKey).toBe(1);
    expect(JSON.stringify([restore, await handle.fetchHistory()])).not.toContain('one-shot-secret');
    const page = { limit: 50 };
    expect((await listRestoresOfBackup(context, admin, { backupId, query: page })).items[0]?.id).toBe(restore.id);
    expect((await listRestoresOfPlan(context, admin, { planId: plan.id, query: page })).items[0]?.id).toBe(restore.id);
    expect((await listRestores(context, await stack.addUser(), { limit: 50 })).items).toEqual([]);
    expect((await cancelRestore(context, admin, { restoreId: restore.id })).cancelRequestedAt).not.toBeNull();
  });

  it('can be reverted once, while the former content is kept', async () => {
    const { context, admin } = stack;
    const { backupId } = await completedBackup();
    const restore = await requestRestore(
      context,
      admin,
      request(backupId, { target: { kind: 'original' }, overwrite: true, confirmOverwrite: true }),
    );
    const revert = () => revertRestore(context, admin, { restoreId: restore.id });
    expect((await errorOf(revert())).code).toBe('previous_gone');
    await context.catalog.prisma.restore.update({
      where: { id: restore.id },
      data: {
        status: 'completed',
        activeKey: null,
        previousName: 'x__before_y',
        previousUntil: new Date(Date.now() + 1e6),
      },
    });
    const until = (time: number) =>
      context.catalog.prisma.restore.update({ where: { id: restore.id }, data: { previousUntil: new Date(time) } });
    await until(Date.now() - 1);
    expect((await errorOf(revert())).message).toContain('is over');
    await until(Date.now() + 1_000_000);
    expect((await revert()).revertible).toBe(false);
    expect((await errorOf(revert())).code).toBe('run_in_progress');
    await context.catalog.prisma.restore.update({
      where: { id: restore.id },
      data: { activeKey: null, revertedAt: new Date() },
    });
    expect((await errorOf(revert())).code).toBe('previous_gone');
  });
});

// Last: it changes what everything above is sealed under.
describe('the master key', () => {
  it('is rotated whole or not at all', async () => {
    const { context, admin } = stack;
    const { prisma } = context.catalog;
    const to = newMasterKey();
    const before = await prisma.secret.findMany({ orderBy: { id: 'asc' } });
    const fail = () => Promise.reject(new Error('the disk is full'));
    await expect(rotateMasterKey(context, admin, { to, putInPlace: fail })).rejects.toThrow('the disk is full');
    expect(await prisma.secret.findMany({ orderBy: { id: 'asc' } })).toEqual(before);
    const count = await rotateMasterKey(context, admin, { to, putInPlace: async () => undefined });
    expect(count.secrets).toBe(before.length);
    for (const secret of await prisma.secret.findMany()) {
      await openText(to, secret.sealed, secretContext(secret.id));
      expect((await errorOf(openText(context.masterKey, secret.sealed, secretContext(secret.id)))).code).toBe(
        'wrong_master_key',
      );
    }
    for (const key of await prisma.wrappingKey.findMany()) await openWrappingKey(to, key.id, key.sealed);
  });
});
