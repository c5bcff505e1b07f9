/** Policies and attachments that change while something that was begun before is still under way: what it leaves behind in the catalog. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { beforeAll, expect, it } from 'vitest';
import { awaitArchiveStopped } from '../../src/activities/chain/wait-for-chain.js';
import { lockPolicy } from '../../src/catalog/policies.js';
import { readArchiveWish } from '../../src/catalog/runs/archive-run.js';
import {
  beginDetach,
  finishDetach,
  joinChain,
  settleAttachment,
  wantArchive,
} from '../../src/catalog/runs/attach-run.js';
import { claimChainRun } from '../../src/catalog/runs/claim-chain.js';
import { countSuccess } from '../../src/catalog/runs/count-runs.js';
import { getAttachment } from '../../src/usecases/get-attachment.js';
import { reconcileOnce } from '../../src/usecases/reconcile.js';
import { resetFailures } from '../../src/usecases/resume-policy.js';
import { retryPitr } from '../../src/usecases/retry-pitr.js';
import { updatePolicy } from '../../src/usecases/update-policy.js';
import { workflowTypes } from '../../src/workflows/messages.js';
import { archiveWorkflowId, attachWorkflowId, backupWorkflowId, taskQueues } from '../../src/workflows/names.js';
import { activityDeps } from '../support/activity-deps.js';
import { addChainRow, addChainRun, addPolicyRow } from '../support/chain-rows.js';
import { uniqueName } from '../support/engine-servers.js';
import { errorOf, registerDatabase, registerDestination, useUsecases } from '../support/usecase-stack.js';

const stack = useUsecases();
let destinationId = '';
beforeAll(async () => {
  destinationId = (await registerDestination(stack.context, stack.admin, uniqueName('store'))).id;
});

const error = { code: 'sandbox_failed', message: 'It did not open.' };
const prisma = () => stack.context.catalog.prisma;
const old = new Date(Date.now() - 3_600_000);

/** Databases of one server under a policy of their own; nothing runs. */
async function makeChain({ pitr = true, databases = 1 } = {}) {
  const { context, admin } = stack;
  const policyId = await addPolicyRow(context, admin, { destinationId, pitr });
  const databaseIds: string[] = [];
  for (let n = 0; n < databases; n += 1) databaseIds.push((await registerDatabase(context, admin)).id);
  const chain = await addChainRow(context, { policyId, destinationId, databaseIds });
  const attachments = await prisma().attachment.findMany({
    where: { chainId: chain.chainId },
    orderBy: { createdAt: 'asc' },
  });
  return { ...chain, attachmentIds: attachments.map(({ id }) => id), databaseId: databaseIds[0] ?? '' };
}

const change = (id: string | undefined, data: object) =>
  prisma().attachment.update({ where: { id: id ?? '' }, data: { createdAt: old, ...data } });
const chainRow = (id: string) => prisma().chain.findUniqueOrThrow({ where: { id } });
const attachmentOf = ({ policyId, databaseId }: { policyId: string; databaseId: string }) =>
  getAttachment(stack.context, stack.admin, { policyId, databaseId });
const switchPitr = (policyId: string, pitr: boolean) =>
  updatePolicy(stack.context, stack.admin, { policyId, changes: { pitr } });
const isRunning = async (workflowId: string) => {
  const found = await stack.context.temporal.workflow
    .getHandle(workflowId)
    .describe()
    .catch(() => null);
  return found?.status.name === 'RUNNING';
};
const wish = (chainId: string) => readArchiveWish(stack.context.catalog, chainId);

it.each(['is let go', 'has PITR switched off'])(
  'a database that %s while its source is being configured gets no archive, and the source is released',
  async (how) => {
    const chain = await makeChain();
    const [attachmentId = ''] = chain.attachmentIds;
    await change(attachmentId, { status: 'configuring', pitrStatus: 'configuring' });
    if (how === 'is let go') await beginDetach(stack.context.catalog, attachmentId);
    else await switchPitr(chain.policyId, false);
    // What was made on the source is there by now.
    expect(await wantArchive(stack.context.catalog, attachmentId)).toBe(false);
    expect(await wish(chain.chainId)).toMatchObject({ wanted: false, held: true });
    await reconcileOnce(stack.context);
    expect(await isRunning(archiveWorkflowId(chain.policyId, chain.serverId))).toBe(true);
  },
);

it('a database that is let go right after its source was configured leaves the source to be released', async () => {
  const chain = await makeChain();
  const [attachmentId = ''] = chain.attachmentIds;
  expect(await wantArchive(stack.context.catalog, attachmentId)).toBe(true);
  await beginDetach(stack.context.catalog, attachmentId);
  expect(await wish(chain.chainId)).toMatchObject({ wanted: false, held: true });
});

it('a chain that has ended does not come back by the inspection of a database that was let go meanwhile', async () => {
  const chain = await makeChain();
  const [attachmentId = ''] = chain.attachmentIds;
  await beginDetach(stack.context.catalog, attachmentId);
  const join = () => joinChain(stack.context.catalog, { ...chain, attachmentId });
  expect(await join()).toBeNull();
  await finishDetach(stack.context.catalog, attachmentId);
  expect(await join()).toBeNull();
  expect((await chainRow(chain.chainId)).endedAt).not.toBeNull();
});

it('PITR that is switched on while a database is being attached without it is configured afterwards', async () => {
  const chain = await makeChain({ pitr: false });
  const [attachmentId = ''] = chain.attachmentIds;
  await change(attachmentId, { status: 'configuring', pitrStatus: 'disabled' });
  await switchPitr(chain.policyId, true);
  await settleAttachment(stack.context.catalog, attachmentId, null);
  expect(await attachmentOf(chain)).toMatchObject({ status: 'active', pitrStatus: 'configuring', pitrError: null });
  await reconcileOnce(stack.context);
  expect(await isRunning(attachWorkflowId(attachmentId))).toBe(true);
  // Where it was tried, and why it failed is known, it is not tried for ever.
  await change(attachmentId, { pitrError: error });
  await settleAttachment(stack.context.catalog, attachmentId, null);
  expect(await attachmentOf(chain)).toMatchObject({ pitrStatus: 'error', pitrError: error });
});

it('PITR that is switched off and on is not said to be configured where nothing is attached, and forgets its old error', async () => {
  const chain = await makeChain();
  const [attachmentId = ''] = chain.attachmentIds;
  await change(attachmentId, { status: 'error', lastError: error, pitrStatus: 'error', pitrError: error });
  await switchPitr(chain.policyId, false);
  expect(await attachmentOf(chain)).toMatchObject({ pitrStatus: 'disabled', pitrError: null, lastError: error });
  await switchPitr(chain.policyId, true);
  expect(await attachmentOf(chain)).toMatchObject({ status: 'error', pitrStatus: 'error', lastError: error });
  await change(attachmentId, { status: 'active' });
  await switchPitr(chain.policyId, false);
  await switchPitr(chain.policyId, true);
  expect(await attachmentOf(chain)).toMatchObject({ status: 'active', pitrStatus: 'configuring', pitrError: null });
});

it('a retry of PITR that meets a detach does not call the database back', async () => {
  const chain = await makeChain();
  const [attachmentId = ''] = chain.attachmentIds;
  await change(attachmentId, { status: 'error', pitrStatus: 'error' });
  let retried: Promise<unknown> = Promise.resolve();
  await prisma().$transaction(async (tx) => {
    await lockPolicy(tx, chain.policyId);
    await tx.attachment.update({ where: { id: attachmentId }, data: { status: 'detaching' } });
    retried = errorOf(retryPitr(stack.context, stack.admin, chain)).catch((reason: unknown) => reason);
    // It has looked at the attachment by then, as it was before.
    await sleep(500);
  });
  expect(await retried).toMatchObject({ code: 'conflict' });
  expect(await attachmentOf(chain)).toMatchObject({ status: 'detaching' });
});

it('a detach does not wait for an archive that another database of the server has begun to need', async () => {
  const chain = await makeChain();
  await prisma().chain.update({
    where: { id: chain.chainId },
    data: { archiveWanted: true, archiveStatus: 'following' },
  });
  const home = mkdtempSync(join(tmpdir(), 'tm-interleave-'));
  try {
    const wait = awaitArchiveStopped(activityDeps({ context: stack.context, home }));
    expect(await new MockActivityEnvironment().run(wait, chain)).toEqual({ stopped: true });
  } finally {
    rmSync(home, { recursive: true });
  }
});

it('with two databases of a server that leave at once the archive ends, and with one of them it goes on', async () => {
  const { catalog } = stack.context;
  const chain = await makeChain({ databases: 2 });
  const [first = '', second = ''] = chain.attachmentIds;
  await prisma().chain.update({ where: { id: chain.chainId }, data: { archiveWanted: true } });
  expect(await beginDetach(catalog, first)).toMatchObject({ last: false });
  expect(await wish(chain.chainId)).toMatchObject({ wanted: true });
  expect(await beginDetach(catalog, second)).toMatchObject({ last: true });
  expect(await wish(chain.chainId)).toMatchObject({ wanted: false });
  await finishDetach(catalog, second);
  expect((await chainRow(chain.chainId)).endedAt).toBeNull();
  await finishDetach(catalog, first);
  expect((await chainRow(chain.chainId)).endedAt).not.toBeNull();
});

it('why a database could not be attached stands until that is tried again, whatever runs of its server succeed', async () => {
  const chain = await makeChain({ databases: 2 });
  const [broken, fine] = chain.attachmentIds;
  const failures = { consecutiveFailures: 2, lastError: { code: 'dump_failed', message: 'The disk is full.' } };
  await change(broken, { status: 'error', consecutiveFailures: 2, lastError: error });
  await change(fine, failures);
  const backupId = await addChainRun(stack.context, chain, { status: 'completed', at: new Date() });
  const rows = async () => {
    const found = await prisma().attachment.findMany({ where: { chainId: chain.chainId }, orderBy: { status: 'asc' } });
    return found.map(({ status, consecutiveFailures, lastError }) => [status, consecutiveFailures, lastError]);
  };
  const healed = [
    ['active', 0, null],
    ['error', 0, error],
  ];
  await countSuccess(stack.context.catalog, { backupId });
  expect(await rows()).toEqual(healed);
  await change(fine, failures);
  await resetFailures(stack.context, stack.admin, chain);
  expect(await rows()).toEqual(healed);
});

it('a full whose workflow was ended together with that of its chain counts as failed, and people are told', async () => {
  const chain = await makeChain();
  const claimed = await claimChainRun(stack.context.catalog, {
    chainId: chain.chainId,
    kind: 'full',
    trigger: 'schedule',
    scheduledFor: old,
  });
  const backupId = claimed.backupId ?? '';
  await prisma().backup.update({
    where: { id: backupId },
    data: { status: 'in_progress', fencingToken: 1, createdAt: old },
  });
  const options = { workflowId: backupWorkflowId(backupId), taskQueue: taskQueues.control, args: [] };
  const handle = await stack.context.temporal.workflow.start(workflowTypes.backup, options);
  await handle.terminate();
  await reconcileOnce(stack.context);
  await reconcileOnce(stack.context);
  const failed = { code: 'workflow_lost', message: expect.stringContaining('was terminated') };
  expect(await attachmentOf(chain)).toMatchObject({ consecutiveFailures: 1, lastError: failed });
  expect(await prisma().notification.count({ where: { event: 'backup_failed', backupId } })).toBe(1);
});
