/** In which order a server's backups are taken, as the catalog decides it. */
import { describe, expect, it } from 'vitest';
import { raiseArchiveToken, writeArchiveFacts } from '../../src/catalog/runs/archive-run.js';
import { settleAttachment } from '../../src/catalog/runs/attach-run.js';
import { beginAttempt, settleBackup } from '../../src/catalog/runs/backup-run.js';
import { findParent, noteChainFacts, noteChainRun, takeNextChainRun } from '../../src/catalog/runs/chain-run.js';
import { claimChainRun } from '../../src/catalog/runs/claim-chain.js';
import { noteDamagedEnd } from '../../src/catalog/runs/note-damage.js';
import { noteEvent } from '../../src/catalog/runs/note-event.js';
import { needsFull } from '../../src/catalog/runs/present-full.js';
import { recoveryWindow } from '../../src/catalog/runs/recovery-window.js';
import { noJson } from '../../src/catalog/runs/run-json.js';
import { newId } from '../../src/domain/ids.js';
import { addSliceRow } from '../support/chain-rows.js';
import { errorOf, registerPlan, useUsecases } from '../support/usecase-stack.js';

describe('the runs of a chain', () => {
  const stack = useUsecases();
  let time = Date.parse('2026-01-01T00:00:00Z');
  /** Each due time once. */
  const nextTime = () => {
    time += 60_000;
    return new Date(time);
  };

  async function makeChain(options: { archiveWanted?: boolean } = {}) {
    const { context, admin } = stack;
    const { prisma } = context.catalog;
    const { database, plan } = await registerPlan(context, admin);
    const [serverId, policyId, chainId, attachmentId] = [
      newId('server'),
      newId('policy'),
      newId('chain'),
      newId('attachment'),
    ];
    const about = { engine: 'postgresql', version: '17.0', major: '17' };
    await prisma.server.create({ data: { id: serverId, identity: `pg:${serverId}`, ...about } });
    await prisma.policy.create({
      data: {
        id: policyId,
        name: 'gold',
        ownerId: admin.userId,
        destinationId: plan.destinationId,
        schedule: {},
        pitr: true,
        retention: {},
        encryption: false,
        status: 'active',
      },
    });
    await prisma.chain.create({ data: { id: chainId, policyId, serverId, slotName: chainId, ...options } });
    await prisma.attachment.create({
      data: {
        id: attachmentId,
        policyId,
        databaseId: database.id,
        chainId,
        activeKey: database.id,
        status: 'active',
        pitrStatus: 'active',
      },
    });
    const due = (kind: 'full' | 'incremental', scheduledFor = nextTime()) =>
      claimChainRun(context.catalog, { chainId, kind, trigger: 'schedule', scheduledFor });
    const ask = (kind: 'full' | 'incremental') =>
      claimChainRun(context.catalog, { chainId, kind, trigger: 'manual', requestedBy: admin.userId });
    return {
      chainId,
      policyId,
      serverId,
      databaseId: database.id,
      destinationId: plan.destinationId,
      due,
      ask,
      attachmentId,
    };
  }
  type Chain = Awaited<ReturnType<typeof makeChain>>;

  const row = (id: string | null) => stack.context.catalog.prisma.backup.findUniqueOrThrow({ where: { id: id ?? '' } });
  const fail = (id: string) =>
    settleBackup(stack.context.catalog, id, 'failed', { code: 'dump_failed', message: 'it failed' });

  /** A completed backup, as its run leaves it. */
  async function complete(
    chain: Chain,
    kind: 'full' | 'incremental',
    facts: { parentId?: string; epoch?: number; position?: { lsn: string } } = {},
  ) {
    const id = newId('backup');
    const takenAt = nextTime();
    const { chainId, policyId, serverId, databaseId, destinationId } = chain;
    await stack.context.catalog.prisma.backup.create({
      data: {
        ...{ id, kind, status: 'completed', trigger: 'schedule', takenAt, completedAt: takenAt },
        ...{ chainId, policyId, serverId, databaseId, destinationId, ...facts },
      },
    });
    return id;
  }

  it('are one at a time: a due full waits behind an incremental, everything else that is due is skipped and says why', async () => {
    const chain = await makeChain();
    const first = await chain.due('incremental');
    expect(first).toMatchObject({ state: 'claimed', waits: false });
    const second = await chain.due('incremental');
    expect(second).toMatchObject({ state: 'skipped' });
    expect(await row(second.backupId)).toMatchObject({
      ...{ status: 'skipped', blockedBy: first.backupId, activeKey: null },
      error: { code: 'run_in_progress' },
    });
    const full = await chain.due('full');
    expect(full).toMatchObject({ state: 'claimed', waits: true });
    // One at most.
    expect(await chain.due('full')).toMatchObject({ state: 'skipped' });
    const take = () => takeNextChainRun(stack.context.catalog, chain.chainId);
    expect(await take()).toMatchObject({ run: { backupId: first.backupId, kind: 'incremental' } });
    await fail(first.backupId ?? '');
    // The one that waits is next, also when something new is due just then.
    expect(await chain.due('incremental')).toMatchObject({ state: 'skipped' });
    expect(await take()).toMatchObject({ run: { backupId: full.backupId, kind: 'full' } });
    expect(await row(full.backupId)).toMatchObject({ activeKey: chain.chainId });
    await fail(full.backupId ?? '');
    expect(await take()).toEqual({ state: 'idle', alive: true });
  });

  it('are the same run when the same firing is asked twice, also after it became a full', async () => {
    const chain = await makeChain();
    const at = nextTime();
    const first = await chain.due('incremental', at);
    expect(await chain.due('incremental', at)).toEqual(first);
    const begun = await beginAttempt(stack.context.catalog, first.backupId ?? '');
    if (begun.state !== 'begun') throw new Error('the attempt was expected to begin');
    const fellBack = { code: 'incremental_impossible', message: 'no parent' };
    await noteChainFacts(stack.context.catalog, first.backupId ?? '', begun.token, { kind: 'full', fellBack });
    expect(await chain.due('incremental', at)).toMatchObject({ state: 'claimed', backupId: first.backupId });
    const skipped = await chain.due('incremental', nextTime());
    expect(skipped).toMatchObject({ state: 'skipped' });
  });

  it('wait also behind a full that began before a gap, and not behind one of the present stretch', async () => {
    const chain = await makeChain({ archiveWanted: true });
    const { catalog } = stack.context;
    const running = await chain.due('full');
    const begun = await beginAttempt(catalog, running.backupId ?? '');
    if (begun.state !== 'begun') throw new Error('the attempt was expected to begin');
    await noteChainFacts(catalog, running.backupId ?? '', begun.token, { epoch: 0 });
    expect(await chain.due('full')).toMatchObject({ state: 'skipped' });
    await catalog.prisma.chain.update({ where: { id: chain.chainId }, data: { archiveEpoch: 1 } });
    expect(await chain.due('full')).toMatchObject({ state: 'claimed', waits: true });
  });

  it('are refused to people while one is pending or waits, naming it, and claimed once it has ended', async () => {
    const chain = await makeChain();
    const first = await chain.ask('full');
    for (const kind of ['full', 'incremental'] as const) {
      const error = await errorOf(chain.ask(kind));
      expect(error).toMatchObject({ code: 'run_in_progress', details: { references: [first.backupId] } });
    }
    await fail(first.backupId ?? '');
    expect(await chain.ask('incremental')).toMatchObject({ state: 'claimed', waits: false });
  });

  it('are claimed once by ten claims at the same moment', async () => {
    const chain = await makeChain();
    const claims = await Promise.all(Array.from({ length: 10 }, () => chain.due('incremental')));
    expect(claims.filter((claim) => claim.state === 'claimed')).toHaveLength(1);
  });

  it('go nowhere when the destination is disabled or nothing is attached any more', async () => {
    const chain = await makeChain();
    const { prisma } = stack.context.catalog;
    const destination = { where: { id: chain.destinationId } };
    await prisma.destination.update({ ...destination, data: { enabled: false } });
    const skipped = await chain.due('full');
    expect(await row(skipped.backupId)).toMatchObject({ status: 'skipped', error: { code: 'destination_disabled' } });
    expect((await errorOf(chain.ask('full'))).code).toBe('destination_disabled');
    await prisma.destination.update({ ...destination, data: { enabled: true } });
    await prisma.attachment.updateMany({ where: { chainId: chain.chainId }, data: { activeKey: null } });
    expect(await chain.due('full')).toMatchObject({ state: 'skipped', backupId: null });
    expect((await errorOf(chain.ask('full'))).code).toBe('not_found');
    expect(await takeNextChainRun(stack.context.catalog, chain.chainId)).toEqual({ state: 'idle', alive: false });
  });

  it('build on the newest completed one, and on the full again after twenty-four incrementals', async () => {
    const chain = await makeChain();
    const parent = async () =>
      (await findParent(stack.context.catalog, chain.chainId, chain.destinationId))?.id ?? null;
    expect(await parent()).toBeNull();
    const full = await complete(chain, 'full');
    let newest = full;
    for (let number = 1; number <= 24; number += 1) {
      expect(await parent()).toBe(newest);
      newest = await complete(chain, 'incremental', { parentId: newest });
    }
    expect(await parent()).toBe(full);
    newest = await complete(chain, 'incremental', { parentId: full });
    expect(await parent()).toBe(newest);
    // In another destination there is nothing to build on.
    expect(await findParent(stack.context.catalog, chain.chainId, 'dst_other')).toBeNull();
    // Chosen in the moment in which it is deleted.
    await stack.context.catalog.prisma.backup.update({
      where: { id: newest },
      data: { deleteRequestedAt: nextTime() },
    });
    const noting = noteChainFacts(stack.context.catalog, full, 0, { parentId: newest });
    await expect(noting).rejects.toMatchObject({ code: 'incremental_impossible' });
  });

  it('mark the attachments when they are completed, and PITR active again with a full of the present stretch', async () => {
    const chain = await makeChain({ archiveWanted: true });
    const { catalog } = stack.context;
    const attachment = () => catalog.prisma.attachment.findUniqueOrThrow({ where: { id: chain.attachmentId } });
    await catalog.prisma.chain.update({
      where: { id: chain.chainId },
      data: { archiveEpoch: 2, archiveStatus: 'following' },
    });
    await catalog.prisma.attachment.update({
      where: { id: chain.attachmentId },
      data: { pitrStatus: 'error', pitrError: { code: 'log_gap', message: 'gone' } },
    });
    const old = await complete(chain, 'full', { epoch: 1 });
    await noteChainRun(catalog, old);
    expect(await attachment()).toMatchObject({ pitrStatus: 'error', lastFullAt: (await row(old)).takenAt });
    // Of the epoch, but the log that is stored of it begins later: what was written in between is nowhere.
    const tooEarly = await complete(chain, 'full', { epoch: 2, position: { lsn: '0/100' } });
    await noteChainRun(catalog, tooEarly);
    await addSliceRow(stack.context, chain.chainId, { epoch: 2, seq: 1, from: '0/200', to: '0/300' });
    await noteChainRun(catalog, tooEarly);
    expect(await attachment()).toMatchObject({ pitrStatus: 'error' });
    // Its end is on its way into the archive.
    const present = await complete(chain, 'full', { epoch: 2, position: { lsn: '0/400' } });
    await noteChainRun(catalog, present);
    await noteChainRun(catalog, old);
    expect(await attachment()).toMatchObject({
      ...{ pitrStatus: 'active', pitrError: null, lastIncrementalAt: null },
      lastFullAt: (await row(present)).takenAt,
    });
  });

  it('are asked for when the log is followed and no full of its present stretch is there, later each time that one fails', async () => {
    const chain = await makeChain({ archiveWanted: true });
    const { catalog } = stack.context;
    const { prisma } = catalog;
    const needs = (minutes = 0) => needsFull(catalog, chain.chainId, new Date(Date.now() + minutes * 60_000));
    const set = (data: object) => prisma.chain.update({ where: { id: chain.chainId }, data });
    await set({ archiveEpoch: 1, archiveStatus: 'error', coveredTo: new Date() });
    expect(await needs()).toBe(false);
    await set({ archiveStatus: 'following' });
    await complete(chain, 'full', { epoch: 0, position: { lsn: '0/100' } });
    await addSliceRow(stack.context, chain.chainId, { epoch: 1, seq: 1, from: '0/200', to: '0/300' });
    expect(await needs()).toBe(true);
    const first = await chain.due('full', new Date());
    expect(await needs()).toBe(false);
    await fail(first.backupId ?? '');
    expect([await needs(), await needs(4), await needs(6)]).toEqual([false, false, true]);
    const second = await chain.due('full', new Date());
    await fail(second.backupId ?? '');
    expect([await needs(6), await needs(11)]).toEqual([false, true]);
    await prisma.policy.update({ where: { id: chain.policyId }, data: { status: 'paused', pausedBy: 'failures' } });
    expect(await needs(11)).toBe(false);
    await prisma.policy.update({ where: { id: chain.policyId }, data: { status: 'active', pausedBy: null } });
    await complete(chain, 'full', { epoch: 1, position: { lsn: '0/250' } });
    expect(await needs(11)).toBe(false);
  });

  it('are covered by a log that never goes back with a slower clock, but does with what is damaged', async () => {
    const chain = await makeChain({ archiveWanted: true });
    const { catalog } = stack.context;
    const { chainId } = chain;
    const { token, epoch } = await raiseArchiveToken(catalog, chainId);
    const covered = async () => (await catalog.prisma.chain.findUniqueOrThrow({ where: { id: chainId } })).coveredTo;
    await complete(chain, 'full', { epoch, position: { lsn: '0/150' } });
    const [early, middle, late] = [nextTime(), nextTime(), nextTime()];
    await writeArchiveFacts(catalog, chainId, token, { coveredTo: late.toISOString() });
    await writeArchiveFacts(catalog, chainId, token, { coveredTo: middle.toISOString() });
    expect(await covered()).toEqual(late);
    await addSliceRow(stack.context, chainId, { epoch, seq: 1, from: '0/100', to: '0/200', coversTo: early });
    const id = await addSliceRow(stack.context, chainId, { epoch, seq: 2, from: '0/200', to: '0/300', coversTo: late });
    const damaged = [{ recordKey: `${id}.json`, code: 'object_corrupt', message: 'changed' }];
    const window = () => recoveryWindow(catalog, { chainId });
    expect((await window())?.to).toBe(late.toISOString());
    await noteDamagedEnd(catalog, { chainId, epoch, token }, { damaged, good: [], goodTo: 1 });
    expect(await covered()).toEqual(early);
    expect((await window())?.to).toBe(early.toISOString());
    const newer = await raiseArchiveToken(catalog, chainId);
    const fenced = noteDamagedEnd(catalog, { chainId, epoch, token }, { damaged, good: [], goodTo: 1 });
    await expect(fenced).rejects.toMatchObject({ code: 'fenced' });
    await writeArchiveFacts(catalog, chainId, newer.token, { coveredTo: late.toISOString() });
    expect(await covered()).toEqual(late);
  });

  it('leave a database protected when a later step of its attachment fails, and an unproven one in error', async () => {
    const chain = await makeChain({ archiveWanted: true });
    const { catalog } = stack.context;
    const error = { code: 'sandbox_failed', message: 'no' };
    expect(await settleAttachment(catalog, chain.attachmentId, error)).toMatchObject({ status: 'error' });
    await catalog.prisma.attachment.update({
      where: { id: chain.attachmentId },
      data: { sandboxProvenAt: new Date(), status: 'active' },
    });
    expect(await settleAttachment(catalog, chain.attachmentId, error)).toMatchObject({ status: 'active' });
    // Nothing follows the log: that is not hidden by everything else being well.
    await settleAttachment(catalog, chain.attachmentId, null);
    const row = await catalog.prisma.attachment.findUniqueOrThrow({ where: { id: chain.attachmentId } });
    expect(row).toMatchObject({ status: 'active', pitrStatus: 'error', lastError: null });
  });

  it('make PITR of a database that joins active although the follower begins anew for it, and not when its archive never began', async () => {
    const chain = await makeChain({ archiveWanted: true });
    const { catalog } = stack.context;
    const { prisma } = catalog;
    await addSliceRow(stack.context, chain.chainId, { epoch: 0, seq: 1, from: '0/100', to: '0/300' });
    await complete(chain, 'full', { epoch: 0, position: { lsn: '0/200' } });
    const settled = async (archiveStatus: string, noted: object | null) => {
      await prisma.chain.update({ where: { id: chain.chainId }, data: { archiveStatus, coveredTo: nextTime() } });
      await prisma.attachment.update({
        where: { id: chain.attachmentId },
        data: { pitrStatus: 'configuring', pitrError: noted ?? noJson },
      });
      await settleAttachment(catalog, chain.attachmentId, null);
      return (await prisma.attachment.findUniqueOrThrow({ where: { id: chain.attachmentId } })).pitrStatus;
    };
    const noted = { code: 'log_not_kept', message: 'The log archive did not begin in time.' };
    for (const status of ['following', 'starting', 'error']) expect(await settled(status, null)).toBe('active');
    expect(await settled('following', noted)).toBe('active');
    for (const status of ['starting', 'error']) expect(await settled(status, noted)).toBe('error');
    for (const status of ['off', 'stopped']) expect(await settled(status, null)).toBe('error');
  });

  it('are told of once, to the owner of the policy', async () => {
    const chain = await makeChain();
    const { catalog } = stack.context;
    const event = {
      event: 'pitr_gap' as const,
      dedupeKey: newId('gap'),
      policyId: chain.policyId,
      databaseId: chain.databaseId,
      what: 'a',
      why: 'b',
      nextStep: 'c',
    };
    await noteEvent(catalog, event);
    await noteEvent(catalog, event);
    const rows = await catalog.prisma.notification.findMany({ where: { dedupeKey: event.dedupeKey } });
    expect(rows).toMatchObject([{ ownerId: stack.admin.userId, status: 'pending', body: { why: 'b' } }]);
  });
});
