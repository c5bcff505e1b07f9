import { Client, Connection } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { cancelBackup } from '../../src/usecases/cancel-backup.js';
import type { UsecaseContext } from '../../src/usecases/context.js';
import { deleteBackup } from '../../src/usecases/delete-backup.js';
import { getBackup } from '../../src/usecases/get-backup.js';
import { getRestore } from '../../src/usecases/get-restore.js';
import { pausePlan } from '../../src/usecases/pause-plan.js';
import type { Orphans } from '../../src/usecases/reconcile/end-orphans.js';
import { reconcileOnce, startReconcileLoop } from '../../src/usecases/reconcile.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { requestRestore } from '../../src/usecases/request-restore.js';
import { revertRestore } from '../../src/usecases/revert-restore.js';
import {
  backupWorkflowId,
  deleteBackupWorkflowId,
  housekeepingScheduleId,
  planScheduleId,
  restoreWorkflowId,
  revertWorkflowId,
} from '../../src/workflows/names.js';
import { until } from '../support/until.js';
import { completeBackupRow, registerPlan, startTemporal, useUsecases } from '../support/usecase-stack.js';

const stack = useUsecases();
const everyHour = { schedule: { type: 'interval', everySeconds: 3600 } } as const;

const temporals: TestWorkflowEnvironment[] = [];
afterEach(async () => {
  for (const temporal of temporals.splice(0)) await temporal.teardown();
});

/** The same catalog beside a Temporal that knows nothing: its data was lost. */
async function withLostTemporal(): Promise<UsecaseContext> {
  const temporal = await startTemporal();
  temporals.push(temporal);
  return { ...stack.context, temporal: temporal.client };
}

/** Makes a row look as old as it has to be before the loop takes it on. */
async function age(table: 'backup' | 'restore', id: string): Promise<void> {
  const data = { createdAt: new Date(Date.now() - 3_600_000) };
  if (table === 'backup') await stack.context.catalog.prisma.backup.update({ where: { id }, data });
  else await stack.context.catalog.prisma.restore.update({ where: { id }, data });
}

async function statusOf(context: UsecaseContext, workflowId: string): Promise<string | null> {
  const description = await context.temporal.workflow
    .getHandle(workflowId)
    .describe()
    .catch(() => null);
  return description?.status.name ?? null;
}

async function cancelAsked(context: UsecaseContext, workflowId: string): Promise<boolean> {
  const { events } = await context.temporal.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).some((event) => event.workflowExecutionCancelRequestedEventAttributes);
}

async function pass(context: UsecaseContext, orphans?: Orphans) {
  const result = await reconcileOnce(context, orphans);
  if (result === null) throw new Error('the pass did not get its lock');
  expect(result.failures).toBe(0);
  return result.changes;
}

/** A workflow is visible to a listing a moment after it started. */
async function listed(context: UsecaseContext, workflowId: string): Promise<void> {
  await until(async () => {
    for await (const found of context.temporal.workflow.list({ query: `WorkflowId = '${workflowId}'` })) return found;
    return null;
  }, `${workflowId} to be listed`);
}

async function restoring(status: 'pending' | 'in_progress') {
  const { context, admin } = stack;
  const { plan } = await registerPlan(context, admin);
  const backup = await requestBackup(context, admin, { planId: plan.id });
  await completeBackupRow(context, backup.id);
  const restore = await requestRestore(context, admin, {
    source: { kind: 'backup', backupId: backup.id },
    target: { kind: 'original' },
    overwrite: true,
    confirmOverwrite: true,
    keepPreviousHours: 24,
  });
  await context.catalog.prisma.restore.update({ where: { id: restore.id }, data: { status } });
  await age('restore', restore.id);
  return restore.id;
}

describe('when Temporal has lost its data', () => {
  it('schedules come back as they were, paused ones paused, and housekeeping with them', async () => {
    const { context, admin } = stack;
    const active = await registerPlan(context, admin, everyHour);
    const paused = await registerPlan(context, admin, everyHour);
    await pausePlan(context, admin, { planId: paused.plan.id });
    const lost = await withLostTemporal();
    expect((await pass(lost)).schedulesCreated).toEqual(expect.arrayContaining([active.plan.id, paused.plan.id]));
    const describeOf = (id: string) => lost.temporal.schedule.getHandle(id).describe();
    expect((await describeOf(planScheduleId(active.plan.id))).state.paused).toBe(false);
    expect((await describeOf(planScheduleId(paused.plan.id))).state.paused).toBe(true);
    expect((await describeOf(housekeepingScheduleId)).spec.intervals?.[0]?.every).toBe(3_600_000);
    await until(async () => (await pass(lost)).schedulesCreated === undefined, 'the listing to know the schedules');
  });

  it('pending and running rows get their workflows again, with the ids they had', async () => {
    const { context, admin } = stack;
    const [first, second] = [await registerPlan(context, admin), await registerPlan(context, admin)];
    const pending = await requestBackup(context, admin, { planId: first.plan.id });
    const running = await requestBackup(context, admin, { planId: second.plan.id });
    await context.catalog.prisma.backup.update({
      where: { id: running.id },
      data: { status: 'in_progress', fencingToken: 1 },
    });
    for (const { id } of [pending, running]) await age('backup', id);
    const restoreId = await restoring('in_progress');
    const lost = await withLostTemporal();
    expect((await pass(lost)).runsStarted).toEqual(expect.arrayContaining([pending.id, running.id, restoreId]));
    expect(await statusOf(lost, backupWorkflowId(pending.id))).toBe('RUNNING');
    expect(await statusOf(lost, backupWorkflowId(running.id))).toBe('RUNNING');
    expect(await statusOf(lost, restoreWorkflowId(restoreId))).toBe('RUNNING');
    expect((await getBackup(context, admin, { backupId: running.id })).status).toBe('in_progress');
    expect((await pass(lost)).runsStarted ?? []).not.toContain(pending.id);
  });

  it('a run that was to be cancelled is settled or told so, never left waiting', async () => {
    const { context, admin } = stack;
    const [first, second] = [await registerPlan(context, admin), await registerPlan(context, admin)];
    const pending = await requestBackup(context, admin, { planId: first.plan.id });
    const running = await requestBackup(context, admin, { planId: second.plan.id });
    await context.catalog.prisma.backup.update({ where: { id: running.id }, data: { status: 'in_progress' } });
    for (const { id } of [pending, running]) {
      await cancelBackup(context, admin, { backupId: id });
      await age('backup', id);
    }
    const lost = await withLostTemporal();
    await pass(lost);
    expect(await getBackup(context, admin, { backupId: pending.id })).toMatchObject({
      status: 'cancelled',
      error: { code: 'cancelled' },
    });
    expect(await cancelAsked(lost, backupWorkflowId(running.id))).toBe(true);
    // The database is free again.
    expect((await requestBackup(context, admin, { planId: first.plan.id })).status).toBe('pending');
  });

  it('a row that was made a moment ago is left to the request that made it', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const { id } = await requestBackup(context, admin, { planId: plan.id });
    const lost = await withLostTemporal();
    expect((await pass(lost)).runsStarted ?? []).not.toContain(id);
  });

  it('deletions and reverts that were asked for go on; nothing else is deleted', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const kept = await requestBackup(context, admin, { planId: plan.id });
    await completeBackupRow(context, kept.id);
    const gone = await requestBackup(context, admin, { planId: plan.id });
    await completeBackupRow(context, gone.id);
    await deleteBackup(context, admin, { backupId: gone.id });
    const { prisma } = context.catalog;
    await prisma.backup.update({
      where: { id: gone.id },
      data: { deleteRequestedAt: new Date(Date.now() - 3_600_000) },
    });
    const restoreId = await restoring('in_progress');
    await prisma.restore.update({
      where: { id: restoreId },
      data: { status: 'completed', activeKey: null, previousName: 'a__before_b' },
    });
    await revertRestore(context, admin, { restoreId });
    const lost = await withLostTemporal();
    expect((await pass(lost)).runsStarted).toEqual(expect.arrayContaining([gone.id, restoreId]));
    expect(await statusOf(lost, deleteBackupWorkflowId(gone.id))).toBe('RUNNING');
    expect(await statusOf(lost, deleteBackupWorkflowId(kept.id))).toBeNull();
    expect(await statusOf(lost, revertWorkflowId(restoreId))).toBe('RUNNING');
    expect((await getBackup(context, admin, { backupId: kept.id })).deleteRequestedAt).toBeNull();
  });
});

describe('when the catalog was put back to yesterday', () => {
  it('schedules and runs that it does not know end; those that it knows stay', async () => {
    const { context, admin } = stack;
    const known = await registerPlan(context, admin, everyHour);
    const knownRun = await requestBackup(context, admin, { planId: known.plan.id });
    const forgotten = await registerPlan(context, admin, everyHour);
    const run = await requestBackup(context, admin, { planId: forgotten.plan.id });
    await listed(context, backupWorkflowId(run.id));
    const { prisma } = context.catalog;
    await prisma.backup.delete({ where: { id: run.id } });
    await prisma.plan.delete({ where: { id: forgotten.plan.id } });
    const orphans: Orphans = new Map();
    const removed = await until(async () => {
      const changes = await pass(context, orphans);
      return changes.schedulesRemoved?.includes(forgotten.plan.id);
    }, 'the schedule without a plan to be removed');
    expect(removed).toBe(true);
    await expect(context.temporal.schedule.getHandle(planScheduleId(forgotten.plan.id)).describe()).rejects.toThrow();
    await context.temporal.schedule.getHandle(planScheduleId(known.plan.id)).describe();
    expect(await cancelAsked(context, backupWorkflowId(run.id))).toBe(true);
    expect(await cancelAsked(context, backupWorkflowId(knownRun.id))).toBe(false);
    // No worker is there to obey: after its time it is ended by force.
    orphans.set(backupWorkflowId(run.id), Date.now() - 3_600_000);
    await pass(context, orphans);
    expect(await statusOf(context, backupWorkflowId(run.id))).toBe('TERMINATED');
    expect(await statusOf(context, backupWorkflowId(knownRun.id))).toBe('RUNNING');
  });

  it('a schedule of an older or newer revision becomes what the plan says', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin, everyHour);
    await context.catalog.prisma.plan.update({
      where: { id: plan.id },
      data: { schedule: { type: 'interval', everySeconds: 7200 }, revision: { increment: 1 } },
    });
    const handle = context.temporal.schedule.getHandle(planScheduleId(plan.id));
    await until(async () => {
      await pass(context);
      return (await handle.describe()).spec.intervals?.[0]?.every === 7_200_000;
    }, 'the schedule to follow the plan');
    await handle.pause('by hand in the Web UI');
    await until(async () => {
      await pass(context);
      return !(await handle.describe()).state.paused;
    }, 'the pause against the plan to be undone');
  });
});

describe('a workflow that closed without settling its row', () => {
  it('leaves a failed backup with a sentence, fences its last attempt and frees the database', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const { id } = await requestBackup(context, admin, { planId: plan.id });
    await context.catalog.prisma.backup.update({ where: { id }, data: { status: 'in_progress', fencingToken: 3 } });
    await context.temporal.workflow.getHandle(backupWorkflowId(id)).terminate('by hand in the Web UI');
    expect((await pass(context)).runsSettled).toContain(id);
    const row = await context.catalog.prisma.backup.findUniqueOrThrow({ where: { id } });
    expect(row).toMatchObject({ status: 'failed', activeKey: null, fencingToken: 4 });
    expect((await getBackup(context, admin, { backupId: id })).error).toEqual({
      code: 'workflow_lost',
      message: expect.stringContaining('was terminated in Temporal'),
    });
    expect((await requestBackup(context, admin, { planId: plan.id })).status).toBe('pending');
  });

  it('runs again when the backup had begun to be published: its manifest may exist', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const { id } = await requestBackup(context, admin, { planId: plan.id });
    const progress = { phase: 'publishing', bytes: 10, percent: 99 };
    await context.catalog.prisma.backup.update({
      where: { id },
      data: { status: 'in_progress', fencingToken: 1, progress },
    });
    await context.temporal.workflow.getHandle(backupWorkflowId(id)).terminate();
    expect((await pass(context)).runsStarted).toContain(id);
    expect(await statusOf(context, backupWorkflowId(id))).toBe('RUNNING');
    expect((await getBackup(context, admin, { backupId: id })).status).toBe('in_progress');
  });

  it('takes the password of a restore that never began along', async () => {
    const { context } = stack;
    const id = await restoring('pending');
    const secret = { id: newId('secret'), purpose: 'target', sealed: 'x', restoreId: id };
    await context.catalog.prisma.secret.create({ data: secret });
    await context.temporal.workflow.getHandle(restoreWorkflowId(id)).terminate();
    expect((await pass(context)).runsSettled).toContain(id);
    expect(await context.catalog.prisma.secret.findUnique({ where: { id: secret.id } })).toBeNull();
  });

  it('of a restore under way runs again to leave the target clean; one that never began just fails', async () => {
    const { context, admin } = stack;
    const begun = await restoring('in_progress');
    const waiting = await restoring('pending');
    for (const id of [begun, waiting]) await context.temporal.workflow.getHandle(restoreWorkflowId(id)).terminate();
    const changes = await pass(context);
    expect(changes.runsStarted).toContain(begun);
    expect(changes.runsSettled).toContain(waiting);
    expect(await statusOf(context, restoreWorkflowId(begun))).toBe('RUNNING');
    expect((await getRestore(context, admin, { restoreId: begun })).cancelRequestedAt).not.toBeNull();
    expect((await getRestore(context, admin, { restoreId: waiting })).error?.code).toBe('workflow_lost');
  });
});

describe('while Temporal is away', () => {
  it('requests are accepted with their row, a pass fails whole, and the next pass that reaches it starts them', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin);
    const connection = Connection.lazy({ address: '127.0.0.1:9' });
    const away = { ...context, temporal: new Client({ connection }), logger: pino({ level: 'silent' }) };
    try {
      const accepted = await requestBackup(away, admin, { planId: plan.id });
      expect(accepted.status).toBe('pending');
      const { id } = (await registerPlan(away, admin, everyHour)).plan;
      await expect(reconcileOnce(away)).rejects.toThrow();
      await age('backup', accepted.id);
      const changes = await pass(context);
      expect(changes.runsStarted).toContain(accepted.id);
      expect(changes.schedulesCreated).toContain(id);
    } finally {
      await connection.close();
    }
  });
});

describe('the loop', () => {
  it('works from its start on, without a request, and one at a time over all processes', async () => {
    const { context, admin } = stack;
    const { plan } = await registerPlan(context, admin, everyHour);
    await context.temporal.schedule.getHandle(planScheduleId(plan.id)).delete();
    const found = async () =>
      await context.temporal.schedule
        .getHandle(planScheduleId(plan.id))
        .describe()
        .catch(() => null);
    expect(await found()).toBeNull();
    const loops = [startReconcileLoop(context, { intervalMs: 200 }), startReconcileLoop(context, { intervalMs: 200 })];
    try {
      await until(found, 'the schedule to come back');
    } finally {
      await Promise.all(loops.map((loop) => loop.stop()));
    }
    const results = await context.catalog.prisma.$transaction(async (tx) => {
      await tx.$executeRaw`SELECT pg_advisory_xact_lock(7433, 1)`;
      return await reconcileOnce(context);
    });
    expect(results).toBeNull();
  });
});
