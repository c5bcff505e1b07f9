/** What failures in a row do to attachments and policies, and what people are told. */
import { describe, expect, it } from 'vitest';
import { countFailure, countSuccess } from '../../src/catalog/runs/count-runs.js';
import { resetFailures } from '../../src/usecases/resume-policy.js';
import type { ChainRows } from '../support/chain-rows.js';
import { addChainRow, addChainRun, addPolicyRow } from '../support/chain-rows.js';
import { registerDatabase, registerDestination, useUsecases } from '../support/usecase-stack.js';

describe('failures of a chain', () => {
  const stack = useUsecases();
  let clock = Date.parse('2026-01-01T00:00:00Z');
  const nextTime = () => {
    clock += 60_000;
    return new Date(clock);
  };

  /** A policy over two servers, the first with two databases. */
  async function makePolicy() {
    const { context, admin } = stack;
    const { id: destinationId } = await registerDestination(context, admin);
    const policyId = await addPolicyRow(context, admin, { destinationId });
    const add = async (count: number) => {
      const databases = await Promise.all(Array.from({ length: count }, () => registerDatabase(context, admin)));
      return await addChainRow(context, { policyId, destinationId, databaseIds: databases.map(({ id }) => id) });
    };
    return { policyId, first: await add(2), second: await add(1) };
  }
  const add = (chain: ChainRows, status: 'completed' | 'failed' | 'skipped' | 'cancelled') =>
    addChainRun(stack.context, chain, { status, at: nextTime() });
  const fail = async (chain: ChainRows) => {
    const backupId = await add(chain, 'failed');
    await countFailure(stack.context.catalog, { backupId });
    return backupId;
  };
  const succeed = async (chain: ChainRows) => {
    const backupId = await add(chain, 'completed');
    await countSuccess(stack.context.catalog, { backupId });
    return backupId;
  };
  const counts = async ({ chainId }: ChainRows) => {
    const rows = await stack.context.catalog.prisma.attachment.findMany({ where: { chainId } });
    return rows.map((row) => row.consecutiveFailures);
  };
  const policy = (id: string) => stack.context.catalog.prisma.policy.findUniqueOrThrow({ where: { id } });
  const eventsOf = async (policyId: string) => {
    const rows = await stack.context.catalog.prisma.notification.findMany({
      where: { policyId },
      orderBy: [{ createdAt: 'asc' }, { event: 'asc' }],
    });
    return rows.map((row) => row.event);
  };

  it('are counted on every database that the chain serves, told each time, and forgotten after a success', async () => {
    const { policyId, first, second } = await makePolicy();
    await fail(first);
    const backupId = await fail(first);
    expect(await counts(first)).toEqual([2, 2]);
    expect(await counts(second)).toEqual([0]);
    const [told] = await stack.context.catalog.prisma.notification.findMany({ where: { backupId } });
    expect(told).toMatchObject({ event: 'backup_failed', policyId, status: 'pending' });
    expect(told?.body).toMatchObject({ why: 'The disk of the source is full.' });
    expect(told?.messageId).toBe(`<${told?.id}@${stack.context.installationId}>`);
    await succeed(first);
    expect(await counts(first)).toEqual([0, 0]);
    expect(await policy(policyId)).toMatchObject({ status: 'active', pausedBy: null });
  });

  it('are counted once per run, however often and however much at once its result is settled', async () => {
    const { first } = await makePolicy();
    const backupId = await add(first, 'failed');
    await Promise.all(Array.from({ length: 4 }, () => countFailure(stack.context.catalog, { backupId })));
    expect(await counts(first)).toEqual([1, 1]);
  });

  it('do not count for runs that were skipped or cancelled', async () => {
    const { policyId, first } = await makePolicy();
    for (const status of ['skipped', 'cancelled'] as const) {
      await countFailure(stack.context.catalog, { backupId: await add(first, status) });
    }
    expect(await counts(first)).toEqual([0, 0]);
    expect(await eventsOf(policyId)).toEqual([]);
  });

  it('pause the policy at the third in a row, and the success of that server takes the pause back', async () => {
    const { policyId, first, second } = await makePolicy();
    const { revision } = await policy(policyId);
    await fail(second);
    for (let count = 0; count < 3; count += 1) await fail(first);
    // By the revision the schedules are brought to it.
    expect(await policy(policyId)).toMatchObject({
      status: 'paused',
      pausedBy: 'failures',
      revision: revision + 1,
    });
    await fail(first);
    expect((await eventsOf(policyId)).filter((event) => event === 'policy_paused')).toHaveLength(1);
    // Another server's success says nothing of this one's.
    await succeed(second);
    expect(await policy(policyId)).toMatchObject({ status: 'paused' });
    await succeed(first);
    expect(await policy(policyId)).toMatchObject({ status: 'active', pausedBy: null, revision: revision + 2 });
    expect((await eventsOf(policyId)).filter((event) => event === 'policy_reactivated')).toHaveLength(1);
  });

  it('keep a policy paused while another of its servers still has three', async () => {
    const { policyId, first, second } = await makePolicy();
    for (let count = 0; count < 3; count += 1) await fail(first);
    for (let count = 0; count < 3; count += 1) await fail(second);
    await succeed(first);
    expect(await policy(policyId)).toMatchObject({ status: 'paused', pausedBy: 'failures' });
    await succeed(second);
    expect(await policy(policyId)).toMatchObject({ status: 'active' });
  });

  it('leave a pause by a user alone', async () => {
    const { policyId, first } = await makePolicy();
    const { prisma } = stack.context.catalog;
    await prisma.policy.update({ where: { id: policyId }, data: { status: 'paused', pausedBy: 'user' } });
    for (let count = 0; count < 3; count += 1) await fail(first);
    await succeed(first);
    expect(await policy(policyId)).toMatchObject({ status: 'paused', pausedBy: 'user' });
    expect(await eventsOf(policyId)).toEqual(['backup_failed', 'backup_failed', 'backup_failed']);
  });

  it('are not forgotten by a success that is settled late, after a newer failure', async () => {
    const { first } = await makePolicy();
    const earlier = await add(first, 'completed');
    await fail(first);
    await countSuccess(stack.context.catalog, { backupId: earlier });
    expect(await counts(first)).toEqual([1, 1]);
  });

  it('are forgotten, and their pause taken back, when a person resets them', async () => {
    const { policyId, first } = await makePolicy();
    for (let count = 0; count < 3; count += 1) await fail(first);
    const answer = await resetFailures(stack.context, stack.admin, { policyId });
    expect(answer).toMatchObject({ status: 'active', pausedBy: null, consecutiveFailures: 0 });
    expect(await counts(first)).toEqual([0, 0]);
  });
});
