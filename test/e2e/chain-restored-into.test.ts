/** A restore into a database that a policy protects: nothing of its chain begins during the swap, and a full of the new content follows. */
import { describe, expect, it } from 'vitest';
import { takeNextChainRun } from '../../src/catalog/runs/chain-run.js';
import { claimChainRun } from '../../src/catalog/runs/claim-chain.js';
import { claimFullAfterRestore } from '../../src/catalog/runs/restored-into.js';
import { newId } from '../../src/domain/ids.js';
import { addChainRow, addChainRun, addPolicyRow } from '../support/chain-rows.js';
import { registerDatabase, registerDestination, useUsecases } from '../support/usecase-stack.js';

describe('a restore into a protected database', () => {
  const stack = useUsecases();
  const prisma = () => stack.context.catalog.prisma;
  let clock = Date.parse('2026-01-01T00:00:00Z');
  const nextTime = () => {
    clock += 60_000;
    return new Date(clock);
  };

  async function makeChain() {
    const { context, admin } = stack;
    const { id: destinationId } = await registerDestination(context, admin);
    const policyId = await addPolicyRow(context, admin, { destinationId });
    const database = await registerDatabase(context, admin);
    const chain = await addChainRow(context, { policyId, destinationId, databaseIds: [database.id] });
    const { serverId } = chain;
    await prisma().database.update({ where: { id: database.id }, data: { serverId } });
    const { host: targetHost, port: targetPort, database: targetName } = database;
    return { ...chain, target: { targetDatabaseId: null, targetHost, targetPort, targetName } };
  }
  type Chain = Awaited<ReturnType<typeof makeChain>>;

  const due = ({ chainId }: Chain, kind: 'full' | 'incremental') =>
    claimChainRun(stack.context.catalog, { chainId, kind, trigger: 'schedule', scheduledFor: nextTime() });
  const take = ({ chainId }: Chain) => takeNextChainRun(stack.context.catalog, chainId);
  const afterwards = (target: Parameters<typeof claimFullAfterRestore>[1], at: Date) =>
    claimFullAfterRestore(stack.context.catalog, target, at);
  const fullsOf = ({ chainId }: Chain) => prisma().backup.findMany({ where: { chainId, kind: 'full' } });

  /** A restore into the chain's database that has come to its swap; its journal. */
  async function beginSwap(chain: Chain) {
    const backupId = await addChainRun(stack.context, chain, {
      status: 'completed',
      kind: 'incremental',
      at: nextTime(),
    });
    const restore = await prisma().restore.create({
      data: {
        ...{ id: newId('restore'), backupId, status: 'in_progress', source: { kind: 'backup', backupId }, target: {} },
        ...{ databaseId: chain.databaseIds[0] ?? '', targetUsername: 'x', targetSecretId: 'x', ...chain.target },
        triggeredBy: stack.admin.userId,
      },
    });
    return await prisma().swapJournal.create({
      data: { id: newId('journal'), restoreId: restore.id, purpose: 'swap', plan: {} },
    });
  }

  it('lets no backup of its server begin during the swap, one that has begun go on, and a stuck swap hold nobody up', async () => {
    const chain = await makeChain();
    const other = await makeChain();
    const journal = await beginSwap(chain);
    const incremental = await due(chain, 'incremental');
    expect(await take(chain)).toEqual({ state: 'idle', alive: true });
    // Another server's run is no matter of this one's.
    const elsewhere = await due(other, 'incremental');
    expect(await take(other)).toMatchObject({ run: { backupId: elsewhere.backupId } });
    const change = (data: { state?: string; createdAt?: Date }) =>
      prisma().swapJournal.update({ where: { id: journal.id }, data });
    await change({ createdAt: new Date(Date.now() - 11 * 60_000) });
    expect(await take(chain)).toMatchObject({ run: { backupId: incremental.backupId } });
    await change({ createdAt: new Date() });
    await prisma().backup.update({ where: { id: incremental.backupId ?? '' }, data: { status: 'in_progress' } });
    expect(await take(chain)).toMatchObject({ run: { backupId: incremental.backupId } });
    await prisma().backup.update({ where: { id: incremental.backupId ?? '' }, data: { status: 'pending' } });
    expect(await take(chain)).toEqual({ state: 'idle', alive: true });
    await change({ state: 'done' });
    expect(await take(chain)).toMatchObject({ run: { backupId: incremental.backupId } });
  });

  it('is followed by one full, also behind one that began before it', async () => {
    const chain = await makeChain();
    const early = await due(chain, 'full');
    await prisma().backup.update({ where: { id: early.backupId ?? '' }, data: { status: 'in_progress' } });
    const at = nextTime();
    await afterwards(chain.target, at);
    await afterwards(chain.target, at);
    const [databaseId] = chain.databaseIds;
    expect((await fullsOf(chain)).filter(({ id }) => id !== early.backupId)).toMatchObject([
      { status: 'pending', activeKey: `${chain.chainId}/next`, scheduledFor: at, databaseId },
    ]);
  });

  it('is known by the server when it was asked for by another address, and is none under another name', async () => {
    const chain = await makeChain();
    const { id: neighbour } = await registerDatabase(stack.context, stack.admin);
    const { serverId } = chain;
    await prisma().database.update({ where: { id: neighbour }, data: { serverId } });
    const elsewhere = { ...chain.target, targetHost: 'alias.example', targetPort: 1 };
    await afterwards({ ...chain.target, targetName: 'beside' }, nextTime());
    await afterwards(elsewhere, nextTime());
    expect(await fullsOf(chain)).toEqual([]);
    await afterwards({ ...elsewhere, targetDatabaseId: neighbour }, nextTime());
    expect(await fullsOf(chain)).toMatchObject([{ status: 'pending' }]);
  });

  it('is followed by none while the policy is paused, or once it is detached', async () => {
    const chain = await makeChain();
    const { policyId, chainId } = chain;
    await prisma().policy.update({ where: { id: policyId }, data: { status: 'paused', pausedBy: 'user' } });
    await afterwards(chain.target, nextTime());
    await prisma().policy.update({ where: { id: policyId }, data: { status: 'active', pausedBy: null } });
    await prisma().attachment.updateMany({ where: { chainId }, data: { activeKey: null, status: 'detached' } });
    await afterwards(chain.target, nextTime());
    expect(await fullsOf(chain)).toEqual([]);
  });
});
