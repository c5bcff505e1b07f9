/** Retention of a chain on a real catalog and store: what the preview says is what goes, objects too, and what the store refuses is retried. */
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import { followLog } from '../../src/activities/archive/follow-log.js';
import { applyChainRetention } from '../../src/activities/chain/apply-chain-retention.js';
import { newId } from '../../src/domain/ids.js';
import { policyRetentionPreviewSchema } from '../../src/domain/schemas/policy-retention.js';
import { backupPrefix, slicePrefix } from '../../src/storage/layout.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { claimDestination } from '../../src/storage/owner.js';
import { createDestination } from '../../src/usecases/create-destination.js';
import { previewPolicyRetention } from '../../src/usecases/preview-policy-retention.js';
import { activityDeps } from '../support/activity-deps.js';
import type { ChainRows } from '../support/chain-rows.js';
import { addChainRow, addChainRun, addPolicyRow } from '../support/chain-rows.js';
import { uniqueName } from '../support/engine-servers.js';
import { storedKeys } from '../support/run-helpers.js';
import { useRunStack } from '../support/run-stack.js';
import { registerDatabase } from '../support/usecase-stack.js';

const HOUR = 3_600_000;

describe('retention of a chain', () => {
  const stack = useRunStack();

  /** Hours ago, as a time and as a place in a log of 0x100 bytes per hour. */
  const begin = Math.floor(Date.now() / HOUR) * HOUR;
  const at = (hoursAgo: number) => new Date(begin - hoursAgo * HOUR);
  const lsn = (hoursAgo: number) => ({ lsn: `0/${Math.round((1000 - hoursAgo) * 0x100).toString(16)}` });

  async function makeChain(retention = { fulls: 1, incrementalDays: 2, pitrHours: 24 }) {
    const { context, admin, store } = stack;
    const bucket = await store.createBucket();
    const destination = await createDestination(context, admin, {
      name: bucket,
      type: 's3',
      endpoint: store.endpoint,
      bucket,
      region: 'us-east-1',
      prefix: '',
      accessKeyId: store.accessKeyId,
      secretAccessKey: store.secretAccessKey,
      forcePathStyle: true,
      enabled: true,
    });
    const policyId = await addPolicyRow(context, admin, { destinationId: destination.id, retention });
    const database = await registerDatabase(context, admin, uniqueName('db'));
    const chain = await addChainRow(context, {
      policyId,
      destinationId: destination.id,
      databaseIds: [database.id],
    });
    return { ...chain, bucket };
  }
  type Chain = ChainRows & { bucket: string };

  const put = async ({ bucket }: Chain, key: string) =>
    await stack.store.client().send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: 'content' }));

  async function addBackup(chain: Chain, kind: 'full' | 'incremental', hoursAgo: number, parentId?: string) {
    const id = await addChainRun(stack.context, chain, {
      ...{ status: 'completed', kind, at: at(hoursAgo), epoch: 0, position: lsn(hoursAgo) },
      ...(parentId === undefined ? {} : { parentId }),
    });
    await put(chain, `${backupPrefix(chain.serverId, id)}/manifest.json`);
    await put(chain, `${backupPrefix(chain.serverId, id)}/att_1/base.tar.0000.zst`);
    return id;
  }

  /** One slice an hour, four per file. */
  async function addLog(chain: Chain, from: number, to: number) {
    for (let hoursAgo = from; hoursAgo > to; hoursAgo -= 1) {
      const seq = from - hoursAgo + 1;
      const objectKey = `${slicePrefix(chain.serverId, chain.policyId, 0)}/${seq}.zst`;
      await put(chain, objectKey);
      await put(chain, `${objectKey}.json`);
      await stack.catalog.prisma.logSlice.create({
        data: {
          ...{ id: newId('slice'), chainId: chain.chainId, epoch: 0, fromSeq: seq, seq },
          ...{ file: `log.${Math.floor((seq - 1) / 4)}`, offset: BigInt(((seq - 1) % 4) * 0x100), bytes: 256n },
          ...{ storedBytes: 7n, endsFile: seq % 4 === 0 },
          ...{ startPosition: lsn(hoursAgo), endPosition: lsn(hoursAgo - 1), coversTo: at(hoursAgo - 1) },
          ...{ sha256: '', recordSha256: '', recordKey: `${objectKey}.json`, objectKey },
        },
      });
    }
    await stack.catalog.prisma.chain.update({ where: { id: chain.chainId }, data: { coveredTo: at(to) } });
  }

  /** Sixty hours of log and three fulls, the oldest of which retention removes with the log before the next. */
  async function makeAgedChain() {
    const chain = await makeChain();
    await addLog(chain, 60, 0);
    const old = await addBackup(chain, 'full', 55);
    await addBackup(chain, 'full', 30);
    await addBackup(chain, 'full', 5);
    return { chain, old };
  }
  const apply = ({ chainId }: Chain) =>
    new MockActivityEnvironment().run(applyChainRetention(activityDeps(stack)), { chainId });
  const preview = async ({ policyId }: Chain) => {
    const answer = await previewPolicyRetention(stack.context, stack.admin, { policyId });
    const { chains } = policyRetentionPreviewSchema.parse(answer);
    const [only] = chains;
    if (only === undefined) throw new Error('the policy has no chain');
    return only;
  };

  async function addRestore(chain: Chain, backupId: string, recovery: object | null) {
    const id = newId('restore');
    await stack.catalog.prisma.restore.create({
      data: {
        ...{ id, backupId, status: 'in_progress', source: { kind: 'backup', backupId }, target: {} },
        databaseId: chain.databaseIds[0] ?? '',
        ...(recovery === null ? {} : { recovery }),
        ...{ targetHost: '127.0.0.1', targetPort: 1, targetUsername: 'x', targetSecretId: 'x', targetName: id },
        triggeredBy: stack.admin.userId,
      },
    });
    return id;
  }

  it('removes what its preview names, objects and records too, and keeps the rest', async () => {
    const chain = await makeChain();
    await addLog(chain, 60, 0);
    const old = await addBackup(chain, 'full', 55);
    const onOld = await addBackup(chain, 'incremental', 50, old);
    const base = await addBackup(chain, 'full', 30);
    const newest = await addBackup(chain, 'full', 5);

    const said = await preview(chain);
    expect(said.removes.map(({ backupId }) => backupId)).toEqual([onOld, old]);
    expect(said.removes[0]?.because).toBe(`its full ${old} goes`);
    expect(said.keeps.map(({ backupId }) => backupId)).toEqual([newest, base]);
    expect(said.keeps[1]?.because).toBe('the promised window of 24 hours begins with it');
    // The base begins in the file of the slices 29 to 32.
    expect(said.log).toMatchObject({ removes: { slices: 28, storedBytes: 196 }, keeps: { slices: 32 } });

    expect(await apply(chain)).toEqual({ deletedBackups: [onOld, old], deletedSlices: 28 });
    const keys = await storedKeys(stack, chain.bucket);
    expect(keys.filter((key) => key.includes(old) || key.includes(onOld))).toEqual([]);
    expect(keys.filter((key) => key.includes('/archive/'))).toHaveLength(64);
    expect(keys.filter((key) => key.includes(base) || key.includes(newest))).toHaveLength(4);
    expect(await stack.catalog.prisma.logSlice.count({ where: { chainId: chain.chainId } })).toBe(32);
    expect(await apply(chain)).toEqual({ deletedBackups: [], deletedSlices: 0 });
    expect((await preview(chain)).removes).toEqual([]);
  });

  it('leaves alone what a running restore reads, and everything while one has not decided what it reads', async () => {
    const chain = await makeChain();
    await addLog(chain, 60, 0);
    const old = await addBackup(chain, 'full', 55);
    const onOld = await addBackup(chain, 'incremental', 50, old);
    const other = await addBackup(chain, 'incremental', 49, old);
    await addBackup(chain, 'full', 30);
    await addBackup(chain, 'full', 5);
    const restoreId = await addRestore(chain, onOld, null);
    expect((await preview(chain)).heldBecause).toContain(restoreId);
    expect(await apply(chain)).toEqual({ deletedBackups: [], deletedSlices: 0 });
    const recovery = { backupIds: [old, onOld], log: { epoch: 0, fromSeq: 9, toSeq: 12 } };
    await stack.catalog.prisma.restore.update({ where: { id: restoreId }, data: { recovery } });
    expect(await apply(chain)).toEqual({ deletedBackups: [other], deletedSlices: 24 });
    await stack.catalog.prisma.restore.update({ where: { id: restoreId }, data: { status: 'completed' } });
    expect(await apply(chain)).toEqual({ deletedBackups: [onOld, old], deletedSlices: 4 });
  });

  it('decides nothing while a backup is being taken, and nothing once no database is attached', async () => {
    const chain = await makeChain();
    const old = await addBackup(chain, 'full', 55);
    await addBackup(chain, 'full', 5);
    const running = await addBackup(chain, 'full', 0);
    await stack.catalog.prisma.backup.update({ where: { id: running }, data: { status: 'in_progress' } });
    expect((await preview(chain)).heldBecause).toContain(running);
    await stack.catalog.prisma.backup.update({ where: { id: running }, data: { status: 'failed' } });
    await stack.catalog.prisma.attachment.updateMany({ where: { chainId: chain.chainId }, data: { activeKey: null } });
    expect(await apply(chain)).toEqual({ deletedBackups: [], deletedSlices: 0 });
    await stack.catalog.prisma.attachment.updateMany({
      where: { chainId: chain.chainId },
      data: { activeKey: chain.databaseIds[0] ?? '' },
    });
    expect(await apply(chain)).toMatchObject({ deletedBackups: [old] });
  });

  it('says on the row what the store refused, tells it once a day, and tries again the next time', async () => {
    const { chain, old } = await makeAgedChain();
    const { destination } = await stack.catalog.prisma.policy.findUniqueOrThrow({
      where: { id: chain.policyId },
      include: { destination: true },
    });
    const wrong = { where: { id: destination.id }, data: { endpoint: 'http://127.0.0.1:9' } };
    await stack.catalog.prisma.destination.update(wrong);
    expect(await apply(chain)).toEqual({ deletedBackups: [], deletedSlices: 0 });
    const row = () => stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id: old } });
    expect(await row()).toMatchObject({ deletedAt: null, deleteError: { code: 'destination_unreachable' } });
    expect((await row()).deleteRequestedAt).not.toBeNull();
    await apply(chain);
    const told = await stack.catalog.prisma.notification.findMany({ where: { policyId: chain.policyId } });
    expect(told.map(({ event }) => event)).toEqual(['retention_refused']);
    // What is marked is planned with no more, although it is still there.
    expect((await preview(chain)).keeps).toHaveLength(2);
    const right = { where: { id: destination.id }, data: { endpoint: destination.endpoint } };
    await stack.catalog.prisma.destination.update(right);
    expect(await apply(chain)).toEqual({ deletedBackups: [old], deletedSlices: 28 });
    expect(await row()).toMatchObject({ deleteError: null });
  });

  it('leaves everything alone once another installation has taken the place over, and the log is followed into it no more', async () => {
    const { chain, old } = await makeAgedChain();
    const destination = openDestination(stack.store.config(chain.bucket));
    const installationId = newId('installation');
    const { signal } = new AbortController();
    await claimDestination({ destination, installationId, takeover: true, signal });
    destination.close();
    const before = await storedKeys(stack, chain.bucket);
    expect(await apply(chain)).toEqual({ deletedBackups: [], deletedSlices: 0 });
    const code = 'destination_owned_by_other';
    const row = await stack.catalog.prisma.backup.findUniqueOrThrow({ where: { id: old } });
    expect(row).toMatchObject({ deletedAt: null, deleteError: { code } });
    const following = new MockActivityEnvironment().run(followLog(activityDeps(stack)), { chainId: chain.chainId });
    await expect(following).rejects.toMatchObject({ type: code, message: expect.stringContaining(installationId) });
    expect(await storedKeys(stack, chain.bucket)).toEqual(before);
  });
});
