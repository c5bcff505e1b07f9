/** What people are told of a log archive: that it does not come any further, once per stall, before that is a gap; and what a gap takes away. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, it } from 'vitest';
import { noteArchiveError } from '../../src/activities/archive/archive-state.js';
import { noteGap } from '../../src/activities/archive/note-gap.js';
import { noteStall, Pace } from '../../src/activities/archive/note-stall.js';
import { newId } from '../../src/domain/ids.js';
import { activityDeps } from '../support/activity-deps.js';
import { addChainRow, addPolicyRow, addSliceRow } from '../support/chain-rows.js';
import { uniqueName } from '../support/engine-servers.js';
import { useRunStack } from '../support/run-stack.js';
import { registerDatabase, registerDestination } from '../support/usecase-stack.js';

const stack = useRunStack();
const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
const error = { code: 'authentication_failed', message: 'The server refuses the password.' } as const;

/** An archive that is wanted, and what was told of it. */
async function makeArchive(coveredTo: Date) {
  const { context, admin, catalog } = stack;
  const { prisma } = catalog;
  const { id: destinationId } = await registerDestination(context, admin, uniqueName('store'));
  const policyId = await addPolicyRow(context, admin, { destinationId });
  const [serverId, chainId] = [newId('server'), newId('chain')];
  const about = { engine: 'postgresql', identity: serverId, version: '17', major: '17' };
  await prisma.server.create({ data: { id: serverId, ...about } });
  const chain = { id: chainId, policyId, serverId, slotName: `tidemark_${chainId}`, archiveWanted: true };
  await prisma.chain.create({ data: { ...chain, archiveStatus: 'following', coveredTo } });
  return {
    chainId,
    told: () => prisma.notification.findMany({ where: { policyId, event: 'archive_stalled' } }),
    cover: (minutes: number) =>
      prisma.chain.update({ where: { id: chainId }, data: { coveredTo: minutesAgo(minutes) } }),
  };
}

it('tells people once per stall that the log is not archived, and says nothing of a short interruption', async () => {
  const { chainId, told, cover } = await makeArchive(minutesAgo(5));
  const fail = () => new MockActivityEnvironment().run(noteArchiveError(activityDeps(stack)), { chainId, error });

  await fail();
  expect(await told()).toEqual([]);
  await cover(30);
  await fail();
  await fail();
  expect(await told()).toHaveLength(1);
  expect(JSON.stringify((await told())[0]?.body)).toContain(error.message);
  await cover(20);
  await fail();
  expect(await told()).toHaveLength(2);
});

it('tells people once per stall of a log that is followed and stays behind, whatever the clock of its source says', async () => {
  const { chainId, told, cover } = await makeArchive(minutesAgo(60));
  const minute = 60_000;
  const pace = new Pace(0);
  const look = (minutes: number) => noteStall(activityDeps(stack), chainId, pace.behindSince(minutes * minute));

  // A slow clock, and nothing else.
  for (const at of [5, 10, 18]) pace.reached(at * minute);
  await look(20);
  expect(await told()).toEqual([]);
  for (const at of [33, 34, 50]) await look(at);
  expect(await told()).toHaveLength(1);
  expect((await told())[0]?.body).toMatchObject({ why: expect.stringContaining('stays behind') });
  // It comes further, but no faster than it falls behind.
  pace.reached(51 * minute);
  await cover(40);
  await look(67);
  expect(await told()).toHaveLength(1);
  for (const at of [68, 69, 70]) pace.reached(at * minute);
  await look(71);
  expect(await told()).toHaveLength(1);
  await look(86);
  expect(await told()).toHaveLength(2);
});

it('tells people which part of the log is missing, why, and of the full with which recovery goes on', async () => {
  const { context, admin, catalog } = stack;
  const { prisma } = catalog;
  const { id: destinationId } = await registerDestination(context, admin, uniqueName('store'));
  const policyId = await addPolicyRow(context, admin, { destinationId });
  const { id: databaseId, name } = await registerDatabase(context, admin, uniqueName('shop'));
  const { chainId } = await addChainRow(context, { policyId, destinationId, databaseIds: [databaseId] });
  const coversTo = minutesAgo(3);
  await addSliceRow(context, chainId, { epoch: 0, seq: 1, from: '0/1000000', to: '0/3000000', coversTo });
  const lost = { code: 'log_gap', message: 'The server removed its log before it was stored.' } as const;
  const tell = () =>
    new MockActivityEnvironment().run(noteGap(activityDeps(stack)), {
      ...{ chainId, error: lost, from: { lsn: '0/3000000', timeline: 1 }, to: { lsn: '0/9000000', timeline: 1 } },
    });

  const { backupId } = (await tell()) as { backupId: string | null };
  expect(await tell()).toMatchObject({ noted: false, backupId });
  const [told, ...more] = await prisma.notification.findMany({ where: { policyId, event: 'pitr_gap' } });
  expect(more).toEqual([]);
  const { what, why, nextStep } = { what: '', why: '', nextStep: '', ...(told?.body as Record<string, string>) };
  expect(what).toContain(name);
  expect(what).toContain(`from 0/3000000 (covered up to ${coversTo.toISOString()}) to 0/9000000 on timeline 1`);
  expect(why).toBe(lost.message);
  expect(nextStep).toContain(`The full ${backupId} was queued`);
  expect(nextStep).toContain(`up to ${coversTo.toISOString()} stay restorable`);
});
