/** What the reconcile loop brings back of policies when Temporal has lost its data, and what it ends that the catalog does not know. */
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { attachDatabase } from '../../src/usecases/attach-database.js';
import { cancelBackup } from '../../src/usecases/cancel-backup.js';
import type { UsecaseContext } from '../../src/usecases/context.js';
import { createPolicy } from '../../src/usecases/create-policy.js';
import { getBackup } from '../../src/usecases/get-backup.js';
import type { Orphans } from '../../src/usecases/reconcile/end-orphans.js';
import { reconcileOnce } from '../../src/usecases/reconcile.js';
import { requestBackup } from '../../src/usecases/request-backup.js';
import { wakeChain } from '../../src/usecases/runs/wake-chain.js';
import { updatePolicy } from '../../src/usecases/update-policy.js';
import {
  archiveWorkflowId,
  attachWorkflowId,
  backupWorkflowId,
  chainScheduleId,
  chainWorkflowId,
  cleanUpSourceWorkflowId,
  notifyWorkflowId,
} from '../../src/workflows/names.js';
import { addSliceRow } from '../support/chain-rows.js';
import { uniqueName } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { registerDatabase, registerDestination, startTemporal, useUsecases } from '../support/usecase-stack.js';

const stack = useUsecases();
const temporals: TestWorkflowEnvironment[] = [];
afterEach(async () => {
  for (const temporal of temporals.splice(0)) await temporal.teardown();
});

/** The same catalog beside a Temporal that knows nothing. */
async function withLostTemporal(): Promise<UsecaseContext> {
  const temporal = await startTemporal();
  temporals.push(temporal);
  return { ...stack.context, temporal: temporal.client };
}

const longAgo = new Date(Date.now() - 3_600_000);

async function pass(context: UsecaseContext, orphans?: Orphans) {
  const result = await reconcileOnce(context, orphans);
  if (result === null) throw new Error('the pass did not get its lock');
  expect(result.failures).toBe(0);
  return result.changes;
}

async function statusOf(context: UsecaseContext, workflowId: string): Promise<string | null> {
  const description = await context.temporal.workflow
    .getHandle(workflowId)
    .describe()
    .catch(() => null);
  return description?.status.name ?? null;
}

/** An attached database, as far as the attach workflow comes before its first full. */
async function protect(attachment: Record<string, unknown> = { status: 'active', pitrStatus: 'active' }) {
  const { context, admin } = stack;
  const { prisma } = context.catalog;
  const destination = await registerDestination(context, admin);
  const database = await registerDatabase(context, admin);
  const policy = await createPolicy(context, admin, {
    name: uniqueName('policy'),
    destinationId: destination.id,
    schedule: { full: { frequency: 'daily', time: '02:30' }, incremental: '6h' },
    pitr: true,
    encryption: true,
  });
  await prisma.policy.update({ where: { id: policy.id }, data: { status: 'active', credentialsVerifiedAt: longAgo } });
  const { id } = await attachDatabase(context, admin, { policyId: policy.id, databaseId: database.id, accept: [] });
  const serverId = newId('server');
  const chainId = newId('chain');
  await prisma.server.create({
    data: { id: serverId, engine: 'postgresql', identity: `pg:${serverId}`, version: '17.1', major: '17' },
  });
  await prisma.chain.create({
    data: { id: chainId, policyId: policy.id, serverId, slotName: 'slot', archiveWanted: true },
  });
  await prisma.attachment.update({ where: { id }, data: { chainId, createdAt: longAgo, ...attachment } });
  return { policyId: policy.id, databaseId: database.id, attachmentId: id, chainId, serverId };
}

describe('when Temporal has lost its data', () => {
  it('the entities and schedules of a protected server come back, and follow the policy', async () => {
    const { policyId, chainId, serverId } = await protect();
    const lost = await withLostTemporal();
    await pass(lost);
    for (const workflowId of [chainWorkflowId(policyId, serverId), archiveWorkflowId(policyId, serverId)]) {
      const described = await lost.temporal.workflow.getHandle(workflowId).describe();
      expect(described.status.name).toBe('RUNNING');
      expect(described.searchAttributes).toMatchObject({ TidemarkPolicy: [policyId] });
    }
    const paused = async (kind: 'full' | 'incremental' | 'retention') =>
      (await lost.temporal.schedule.getHandle(chainScheduleId(chainId, kind)).describe()).state.paused;
    expect([await paused('full'), await paused('incremental'), await paused('retention')]).toEqual([
      false,
      false,
      false,
    ]);

    const data = { status: 'paused', pausedBy: 'failures', revision: { increment: 1 } };
    await stack.context.catalog.prisma.policy.update({ where: { id: policyId }, data });
    await until(async () => {
      await pass(lost);
      return (await paused('full')) && (await paused('incremental')) ? true : null;
    }, 'the schedules to be paused with the policy');

    await updatePolicy(lost, stack.admin, {
      policyId,
      changes: { schedule: { full: { frequency: 'daily', time: '02:30' }, incremental: 'none' } },
    });
    await expect(paused('incremental')).rejects.toThrow(/not found/i);
    await stack.context.catalog.prisma.attachment.updateMany({
      where: { policyId },
      data: { activeKey: null, status: 'detached' },
    });
    await until(async () => {
      await pass(lost);
      return await paused('full').catch(() => true);
    }, 'the schedules to go with the last attachment');
  });

  it('attachments on their way, mails and clean-ups go on', async () => {
    const { prisma } = stack.context.catalog;
    const { attachmentId, policyId } = await protect({ status: 'configuring' });
    const notificationId = newId('notification');
    await prisma.notification.create({
      data: {
        id: notificationId,
        event: 'pitr_gap',
        dedupeKey: notificationId,
        recipient: 'admin@example.org',
        subject: 'A gap',
        body: {},
        messageId: notificationId,
        ownerId: stack.admin.userId,
        policyId,
      },
    });
    const cleanupId = newId('cleanup');
    const place = { engine: 'postgresql', host: 'h', port: 1, username: 'u', database: 'd', secretId: 'sec_x' };
    await prisma.sourceCleanup.create({ data: { ...place, id: cleanupId, kind: 'replication_slot', name: 'slot' } });
    const lost = await withLostTemporal();
    await pass(lost);
    expect(await statusOf(lost, attachWorkflowId(attachmentId))).toBe('RUNNING');
    expect(await statusOf(lost, notifyWorkflowId(notificationId))).toBe('RUNNING');
    expect(await statusOf(lost, cleanUpSourceWorkflowId(cleanupId))).toBe('RUNNING');
  });

  it('a full is asked for where the log is followed and nothing is there that it goes on from, once', async () => {
    const { context } = stack;
    const { prisma } = context.catalog;
    const broken = { pitrStatus: 'error', pitrError: { code: 'log_gap', message: 'gone' } };
    const { chainId, policyId, serverId } = await protect({ status: 'active', ...broken });
    await prisma.chain.update({
      where: { id: chainId },
      data: { archiveEpoch: 1, archiveStatus: 'following', coveredTo: new Date() },
    });
    await addSliceRow(context, chainId, { epoch: 1, seq: 1, from: '0/100', to: '0/200' });
    const lost = await withLostTemporal();
    await pass(lost);
    await pass(lost);
    const fulls = await prisma.backup.findMany({ where: { chainId } });
    expect(fulls).toMatchObject([{ kind: 'full', status: 'pending', trigger: 'schedule', activeKey: chainId }]);
    expect(await statusOf(lost, chainWorkflowId(policyId, serverId))).toBe('RUNNING');
    // Found damaged, or completed while nobody looked: the attachment says what is.
    const done = { status: 'completed', activeKey: null, epoch: 1, position: { lsn: '0/150' }, takenAt: new Date() };
    await prisma.backup.updateMany({ where: { chainId }, data: { ...done, completedAt: new Date() } });
    await pass(lost);
    expect(await prisma.attachment.findFirstOrThrow({ where: { chainId } })).toMatchObject({ pitrStatus: 'active' });
    expect(await prisma.backup.count({ where: { chainId } })).toBe(1);
  });

  it('a backup of a server waits for its turn in the chain, and one that was cancelled before it began is settled', async () => {
    const { context, admin } = stack;
    const { databaseId, policyId, serverId } = await protect();
    const { id } = await requestBackup(context, admin, { databaseId });
    await context.catalog.prisma.backup.update({ where: { id }, data: { createdAt: longAgo } });
    const lost = await withLostTemporal();
    await pass(lost);
    expect(await statusOf(lost, backupWorkflowId(id))).toBeNull();
    expect(await statusOf(lost, chainWorkflowId(policyId, serverId))).toBe('RUNNING');
    await cancelBackup(lost, admin, { backupId: id });
    await pass(lost);
    expect(await getBackup(context, admin, { backupId: id })).toMatchObject({ status: 'cancelled' });
  });
});

describe('when the catalog was put back to yesterday', () => {
  it('an entity without its chain is ended', async () => {
    const { context } = stack;
    const [policyId, serverId] = [newId('policy'), newId('server')];
    await wakeChain(context, {
      id: newId('chain'),
      policyId,
      serverId,
      policy: { name: 'lost' },
      server: { identity: 'pg:1' },
    });
    const workflowId = chainWorkflowId(policyId, serverId);
    const orphans: Orphans = new Map();
    await until(async () => {
      await pass(context, orphans);
      return orphans.has(workflowId) ? true : null;
    }, 'the entity to be found without a row');
    const { events } = await context.temporal.workflow.getHandle(workflowId).fetchHistory();
    expect((events ?? []).some((event) => event.workflowExecutionCancelRequestedEventAttributes)).toBe(true);
  });
});
