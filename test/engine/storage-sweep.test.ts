import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { masterKeyOpener } from '../../src/keys/key-opener.js';
import { newMasterKey } from '../../src/keys/master-key.js';
import { createWrappingKey } from '../../src/keys/wrapping-key.js';
import type { Destination } from '../../src/storage/destination.js';
import { attemptPrefix, manifestKey, ownerKey } from '../../src/storage/layout.js';
import { listBackups } from '../../src/storage/list-backups.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { claimDestination, readOwner, requireOwner } from '../../src/storage/owner.js';
import { removeAttempt, removeBackup } from '../../src/storage/remove-backup.js';
import type { StoredSlice } from '../../src/storage/slice-record.js';
import { tailOf } from '../../src/storage/slice-record.js';
import type { Sweep } from '../../src/storage/sweep.js';
import { sweep } from '../../src/storage/sweep.js';
import { writeLogSlice } from '../../src/storage/write-log-slice.js';
import { useS3Store } from '../support/s3-store.js';
import { storeBackup } from '../support/stored-backup.js';

const DAY = 24 * 3600_000;
const signal = new AbortController().signal;
const master = newMasterKey();
const store = useS3Store();
const root = mkdtempSync(join(tmpdir(), 'tm-sweep-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let path: string;
let destination: Destination;
const installationId = newId('installation');
beforeEach(() => {
  path = mkdtempSync(join(root, 'd-'));
  destination = openDestination({ type: 'directory', path, prefix: '' }, { directoryRoots: [root] });
});

async function keys(of: Destination = destination): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of of.list('tidemark/v1/', { signal })) found.push(key);
  return found;
}
/** Sets the time of every object `days` back; that of owner.json a further day, as if claimed before all else. */
async function age(days: number): Promise<void> {
  for (const key of await keys()) {
    const time = new Date(Date.now() - (days + (key.endsWith('owner.json') ? 1 : 0)) * DAY);
    utimesSync(join(path, key), time, time);
  }
}
const run = (options: Partial<Sweep> = {}) =>
  sweep({
    destination,
    installationId,
    olderThan: new Date(Date.now() - 7 * DAY),
    openKey: masterKeyOpener(master),
    liveAttemptIds: new Set(),
    signal,
    ...options,
  });
async function putStray(databaseId: string, backupId: string, attemptId = newId('attempt')) {
  const key = `${attemptPrefix(databaseId, backupId, attemptId)}/dump.bin.0000.zst.enc`;
  await destination.put(key, Buffer.from('half a dump'), { signal });
  return { key, attemptId };
}

describe('the owner of a destination', () => {
  it('is the first installation that claims it; another is refused until it takes over', async () => {
    await claimDestination({ destination, installationId, signal });
    await claimDestination({ destination, installationId, signal });
    const other = newId('installation');
    const claim = claimDestination({ destination, installationId: other, signal });
    await expect(claim).rejects.toMatchObject({
      code: 'destination_owned_by_other',
      message: expect.stringContaining(installationId),
    });
    await claimDestination({ destination, installationId: other, takeover: true, signal });
    const owner = await readOwner({ destination, signal });
    expect(owner).toMatchObject({ installationId: other, previous: [{ installationId }] });
  });

  it.each(['s3', 'directory'])('is one of several that claim at once (%s)', async (type) => {
    const place = type === 's3' ? openDestination(store.config(await store.createBucket())) : destination;
    const claims = Array.from({ length: 5 }, () =>
      claimDestination({ destination: place, installationId: newId('installation'), signal }),
    );
    const results = await Promise.allSettled(claims);
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  });
});

describe('a folder that is known to be claimed', () => {
  it('is not written to when its owner file is gone, and is named', async () => {
    await claimDestination({ destination, installationId, signal });
    await requireOwner({ destination, signal });
    await destination.remove([ownerKey], { signal });
    await expect(requireOwner({ destination, signal })).rejects.toMatchObject({
      code: 'destination_not_mounted',
      message: expect.stringContaining(destination.location),
    });
  });
});

describe('a sweep', () => {
  it('removes what no manifest names once it is old, and nothing else', async () => {
    await claimDestination({ destination, installationId, signal });
    const backup = await storeBackup({ destination, master, installationId });
    const inBackup = await putStray(backup.databaseId, backup.backupId);
    const alone = await putStray(newId('database'), newId('backup'));
    const before = await keys();
    expect((await run()).removedKeys).toEqual([]);
    await age(8);
    const result = await run();
    expect([...result.removedKeys].sort()).toEqual([alone.key, inBackup.key].sort());
    expect(result.backups).toEqual([{ ownerId: backup.ownerId, backupId: backup.backupId }]);
    expect(await keys()).toEqual(before.filter((key) => key !== alone.key && key !== inBackup.key));
  });

  it('spares an attempt that still runs, whatever its age', async () => {
    await claimDestination({ destination, installationId, signal });
    const { key, attemptId } = await putStray(newId('database'), newId('backup'));
    await age(30);
    expect((await run({ liveAttemptIds: new Set([attemptId]) })).removedKeys).toEqual([]);
    expect(await keys()).toContain(key);
  });

  it('touches nothing where another installation writes, nor what lay there before a takeover', async () => {
    await claimDestination({ destination, installationId: newId('installation'), signal });
    const { key } = await putStray(newId('database'), newId('backup'));
    await age(30);
    expect((await run()).removedKeys).toEqual([]);
    await claimDestination({ destination, installationId, takeover: true, signal });
    expect((await run()).removedKeys).toEqual([]);
    expect(await keys()).toContain(key);
  });

  it('removes old objects of log slices that lost against another writer or that a larger slice replaced, never what may be all that is left', async () => {
    await claimDestination({ destination, installationId, signal });
    const { key, sealed } = await createWrappingKey(master);
    const keysOfSlices = { encryption: key, manifest: key, sealed };
    const place = { destination, serverId: newId('server'), policyId: newId('policy'), epoch: 0 };
    const at = (offset: number) => ({ lsn: `0/${offset.toString(16)}` });
    const write = async (seq: number, previous: StoredSlice | null, fromSeq = seq) => {
      const [offset, end] = [(fromSeq - 1) * 10, seq * 10];
      return await writeLogSlice({
        ...{ place, keys: keysOfSlices, installationId, signal, assertMayPublish: async () => {} },
        slice: {
          ...{ chainId: 'chn_1', fromSeq, seq, file: 'log', offset, bytes: end - offset, endsFile: false },
          source: { engine: 'postgresql', identity: 'pg:1', version: '17.1', major: '17' },
          ...{
            startPosition: at(offset),
            endPosition: at(end),
            firstCommitAt: null,
            lastCommitAt: null,
            coversTo: null,
          },
          ...{ previous: previous === null ? null : tailOf(previous), tail: null },
        },
        source: Readable.from([Buffer.alloc(end - offset, seq)]),
      });
    };
    const first = await write(1, null);
    const second = await write(2, first);
    await write(3, second);
    const objects = (await keys()).filter((name) => name.endsWith('.enc'));
    const strayOf = async (seq: number) => {
      const like = objects.find((name) => name.includes(`/${String(seq).padStart(10, '0')}-`)) ?? '';
      const name = like.replace(/\.[0-9a-f]{8}\.0000/, '.00000000.0000');
      await destination.put(name, Buffer.from('half a slice'), { signal });
      return name;
    };
    const lost = await strayOf(3);
    // Its record and object were removed since: the larger one stands for them.
    const replaced = await strayOf(2);
    await write(2, null, 1);
    await destination.remove([first.recordKey, second.recordKey, second.record.object.key], { signal });
    // The record of number 4 is gone: this may be the only copy.
    const headless = lost.replace('/0000000003-', '/0000000004-');
    await destination.put(headless, Buffer.from('a slice'), { signal });
    const before = await keys();
    expect((await run()).removedKeys).toEqual([]);
    await age(8);
    const gone = [first.record.object.key, lost, replaced].sort();
    expect([...(await run()).removedKeys].sort()).toEqual(gone);
    expect((await keys()).sort()).toEqual(before.filter((name) => !gone.includes(name)).sort());
  });

  it('leaves everything under a manifest that is not authentic, and reports it', async () => {
    await claimDestination({ destination, installationId, signal });
    const backup = await storeBackup({ destination, master, installationId });
    const at = join(path, manifestKey(backup.databaseId, backup.backupId));
    const forged = { ...JSON.parse(readFileSync(at, 'utf8')), artifacts: [] };
    writeFileSync(at, JSON.stringify(forged));
    await age(30);
    const before = await keys();
    const result = await run();
    expect(result.removedKeys).toEqual([]);
    expect(result.unreadable).toMatchObject([{ backupId: backup.backupId }]);
    expect(await keys()).toEqual(before);
  });
});

describe('removing', () => {
  it('a backup removes all of it and nothing of its neighbours', async () => {
    const one = await storeBackup({ destination, master });
    const two = await storeBackup({ destination, master, databaseId: one.databaseId });
    await removeBackup({ destination, ...one, signal });
    await removeBackup({ destination, ...one, signal });
    const left: string[] = [];
    for await (const { backupId } of listBackups({ destination, signal })) left.push(backupId);
    expect(left).toEqual([two.backupId]);
    expect((await keys()).every((key) => key.includes(two.backupId))).toBe(true);
  });

  it('an attempt also removes its unfinished uploads', async () => {
    const bucket = await store.createBucket();
    const s3 = openDestination(store.config(bucket));
    const [ownerId, backupId, attemptId] = [newId('database'), newId('backup'), newId('attempt')];
    const Key = `${attemptPrefix(ownerId, backupId, attemptId)}/dump.bin.0001.zst.enc`;
    await s3.put(Key.replace('0001', '0000'), Buffer.from('x'), { signal });
    await store.client().send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
    await removeAttempt({ destination: s3, ownerId, backupId, attemptId: newId('attempt'), signal });
    expect(await store.openUploads(bucket)).toHaveLength(1);
    await removeAttempt({ destination: s3, ownerId, backupId, attemptId, signal });
    expect(await store.openUploads(bucket)).toEqual([]);
    expect(await keys(s3)).toEqual([]);
  });
});
