/** A log archive that does not come any further is told to people, once per stall, before it becomes a gap. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { expect, it } from 'vitest';
import { noteArchiveError } from '../../src/activities/archive/archive-state.js';
import { newId } from '../../src/domain/ids.js';
import { activityDeps } from '../support/activity-deps.js';
import { addPolicyRow } from '../support/chain-rows.js';
import { uniqueName } from '../support/engine-servers.js';
import { useRunStack } from '../support/run-stack.js';
import { registerDestination } from '../support/usecase-stack.js';

const stack = useRunStack();
const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
const error = { code: 'authentication_failed', message: 'The server refuses the password.' } as const;

it('tells people once per stall that the log is not archived, and says nothing of a short interruption', async () => {
  const { context, admin, catalog } = stack;
  const { prisma } = catalog;
  const { id: destinationId } = await registerDestination(context, admin, uniqueName('store'));
  const policyId = await addPolicyRow(context, admin, { destinationId });
  const [serverId, chainId] = [newId('server'), newId('chain')];
  const about = { engine: 'postgresql', identity: serverId, version: '17', major: '17' };
  await prisma.server.create({ data: { id: serverId, ...about } });
  const chain = { id: chainId, policyId, serverId, slotName: `tidemark_${chainId}`, archiveWanted: true };
  await prisma.chain.create({ data: { ...chain, coveredTo: minutesAgo(5) } });
  const fail = () => new MockActivityEnvironment().run(noteArchiveError(activityDeps(stack)), { chainId, error });
  const told = () => prisma.notification.findMany({ where: { policyId, event: 'archive_stalled' } });
  const cover = (minutes: number) =>
    prisma.chain.update({ where: { id: chainId }, data: { coveredTo: minutesAgo(minutes) } });

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
