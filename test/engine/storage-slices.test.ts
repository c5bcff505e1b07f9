/** Log slices in a real store: what is written, what a reader accepts, and what is put together from them. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { masterKeyOpener } from '../../src/keys/key-opener.js';
import { newMasterKey } from '../../src/keys/master-key.js';
import { createWrappingKey } from '../../src/keys/wrapping-key.js';
import { mergeSlices } from '../../src/recovery/merge-slices.js';
import { findUnnoted } from '../../src/recovery/resume-log.js';
import { assembleLogFiles } from '../../src/storage/assemble-log-files.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { coverRange, listSliceRecords, readSliceRecord } from '../../src/storage/read-log-slice.js';
import type { SliceKeys, SlicePlace, StoredSlice } from '../../src/storage/slice-record.js';
import { tailOf } from '../../src/storage/slice-record.js';
import { writeLogSlice } from '../../src/storage/write-log-slice.js';
import { useS3Store } from '../support/s3-store.js';

const signal = new AbortController().signal;
const master = newMasterKey();
const openKey = masterKeyOpener(master);
const installationId = newId('installation');
const chainId = newId('chain');
const store = useS3Store();
const root = mkdtempSync(join(tmpdir(), 'tm-slices-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Archive = { place: SlicePlace; keys: SliceKeys; path: (key: string) => string };

async function makeArchive(type: 's3' | 'directory', encrypted: boolean): Promise<Archive> {
  const { key, sealed } = await createWrappingKey(master);
  const keys = { encryption: encrypted ? key : null, manifest: key, sealed };
  const about = { serverId: newId('server'), policyId: newId('policy'), epoch: 3 };
  if (type === 'directory') {
    const path = mkdtempSync(join(root, 'd-'));
    const destination = openDestination({ type, path, prefix: '' }, { directoryRoots: [root] });
    return { place: { destination, ...about }, keys, path: (at) => join(path, at) };
  }
  const bucket = await store.createBucket();
  const destination = openDestination(store.config(bucket));
  return { place: { destination, ...about }, keys, path: (at) => join(store.dataDir, bucket, at) };
}

const source = { engine: 'postgresql', identity: 'pg:1', version: '17.12', major: '17' } as const;
const at = (offset: number) => ({ lsn: `0/${offset.toString(16).toUpperCase()}` });

function write(
  { place, keys }: Archive,
  last: StoredSlice | null,
  piece: { file: string; offset: number; body: Buffer; endsFile?: boolean },
) {
  const seq = (last?.record.seq ?? 0) + 1;
  return writeLogSlice({
    place,
    keys,
    installationId,
    slice: {
      chainId,
      fromSeq: seq,
      seq,
      source,
      file: piece.file,
      offset: piece.offset,
      bytes: piece.body.length,
      endsFile: piece.endsFile ?? false,
      startPosition: at(piece.offset),
      endPosition: at(piece.offset + piece.body.length),
      firstCommitAt: null,
      lastCommitAt: null,
      coversTo: null,
      previous: last === null ? null : tailOf(last),
      tail: null,
    },
    source: Readable.from([piece.body]),
    signal,
    assertMayPublish: async () => {},
  });
}

/** Two files in five slices. */
async function writeFive(archive: Archive) {
  const first = randomBytes(300_000);
  const second = randomBytes(120_000);
  const slices: StoredSlice[] = [];
  const add = async (file: string, offset: number, body: Buffer, endsFile = false) => {
    slices.push(await write(archive, slices.at(-1) ?? null, { file, offset, body, endsFile }));
  };
  await add('0001', 0, first.subarray(0, 1000));
  await add('0001', 1000, first.subarray(1000, 200_000));
  await add('0001', 200_000, first.subarray(200_000), true);
  await add('0002', 0, second.subarray(0, 7));
  await add('0002', 7, second.subarray(7));
  return { first, second, slices };
}

describe.each([
  ['s3', true],
  ['s3', false],
  ['directory', true],
] as const)('log slices in a destination of type %s, encrypted: %s', (type, encrypted) => {
  let archive: Archive;
  let written: Awaited<ReturnType<typeof writeFive>>;
  const assemble = async (slices: readonly StoredSlice[], cutAt?: { file: string; offset: number }) => {
    const dir = mkdtempSync(join(root, 'out-'));
    const files = await assembleLogFiles({ place: archive.place, slices, openKey, dir, signal, cutAt: cutAt ?? null });
    return { files, read: (name: string) => readFileSync(join(dir, name)) };
  };

  beforeAll(async () => {
    archive = await makeArchive(type, encrypted);
    written = await writeFive(archive);
  });

  it('give back the log files byte for byte', async () => {
    const { files, read } = await assemble(written.slices);
    expect(files).toEqual([
      { name: '0001', bytes: 300_000 },
      { name: '0002', bytes: 120_000 },
    ]);
    expect(read('0001').equals(written.first)).toBe(true);
    expect(read('0002').equals(written.second)).toBe(true);
  });

  it('can be cut at a place inside a file', async () => {
    const { files, read } = await assemble(written.slices, { file: '0002', offset: 100 });
    expect(files.at(-1)).toEqual({ name: '0002', bytes: 100 });
    expect(read('0002').equals(written.second.subarray(0, 100))).toBe(true);
  });

  it('have nothing of the files behind the one that is cut', async () => {
    const { files, read } = await assemble(written.slices, { file: '0001', offset: 1500 });
    expect(files).toEqual([{ name: '0001', bytes: 1500 }]);
    expect(read('0001').equals(written.first.subarray(0, 1500))).toBe(true);
  });

  it('are found by listing the store, and what no row tells of by following their numbers', async () => {
    const listed: StoredSlice[] = [];
    for await (const slice of listSliceRecords({ place: archive.place, openKey, signal })) listed.push(slice);
    expect(listed).toEqual(written.slices);
    const { place } = archive;
    const unnoted = await findUnnoted({ place, openKey, signal }, written.slices[2] ?? null);
    expect(unnoted.slices.map((slice) => slice.record.seq)).toEqual([4, 5]);
    expect(unnoted.broken).toBeNull();
  });

  it('take the same number with the same bytes as a success, and refuse other bytes', async () => {
    const [first, second] = written.slices;
    const again = { file: '0001', offset: 1000, body: written.first.subarray(1000, 200_000) };
    expect(await write(archive, first ?? null, again)).toEqual(second);
    const other = { ...again, body: randomBytes(199_000) };
    await expect(write(archive, first ?? null, other)).rejects.toMatchObject({ code: 'manifest_exists' });
    await assemble(written.slices);
  });

  it('can be replaced by a larger one, which takes their place in the order', async () => {
    const { place, keys } = archive;
    const merged = await mergeSlices({
      store: { place, openKey, signal },
      keys,
      slices: written.slices.slice(0, 3),
      assertMayPublish: async () => {},
    });
    expect(merged.record).toMatchObject({
      fromSeq: 1,
      seq: 3,
      file: '0001',
      offset: 0,
      endsFile: true,
      previous: null,
    });
    const all = [...written.slices.map((slice) => slice), merged].map((slice) => ({ ...slice, ...slice.record }));
    const chosen = coverRange(all, 1, 5);
    expect(chosen?.map(({ fromSeq, seq }) => [fromSeq, seq])).toEqual([
      [1, 3],
      [4, 4],
      [5, 5],
    ]);
    const { read } = await assemble(chosen ?? []);
    expect(read('0001').equals(written.first)).toBe(true);
    expect(read('0002').equals(written.second)).toBe(true);
  });

  it('refuse a range with a hole, a part that comes too late, and a file without its beginning', async () => {
    const [one, two, three, four, five] = written.slices as [
      StoredSlice,
      StoredSlice,
      StoredSlice,
      StoredSlice,
      StoredSlice,
    ];
    for (const slices of [
      [one, three, four, five],
      [one, two, four, five],
      [two, three, four, five],
      [one, three, two, four, five],
    ]) {
      await expect(assemble(slices)).rejects.toMatchObject({ code: 'log_gap' });
    }
    expect(
      coverRange(
        [one, two, four].map((slice) => slice.record),
        1,
        4,
      ),
    ).toBeNull();
  });

  it('show a changed record, one in another place, a changed object and a missing one', async () => {
    const fresh = await makeArchive(type, encrypted);
    const { slices } = await writeFive(fresh);
    const [one, two] = slices as [StoredSlice, StoredSlice];
    const read = (recordKey: string) => readSliceRecord({ place: fresh.place, recordKey, openKey, signal });
    const text = readFileSync(fresh.path(two.recordKey), 'utf8');
    writeFileSync(fresh.path(two.recordKey), text.replace('"offset": 1000', '"offset": 1001'));
    await expect(read(two.recordKey)).rejects.toMatchObject({ code: 'manifest_forged' });
    writeFileSync(fresh.path(two.recordKey), readFileSync(fresh.path(one.recordKey)));
    await expect(read(two.recordKey)).rejects.toMatchObject({ code: 'manifest_forged' });
    expect(await read(two.recordKey.replace(/\d+\.json$/, '0000000099.json'))).toBeNull();

    const object = fresh.path(one.record.object.key);
    const bytes = readFileSync(object);
    bytes.writeUInt8((bytes.at(-40) ?? 0) ^ 1, bytes.length - 40);
    writeFileSync(object, bytes);
    const dir = mkdtempSync(join(root, 'out-'));
    const put = () => assembleLogFiles({ place: fresh.place, slices: [one], openKey, dir, signal });
    await expect(put()).rejects.toMatchObject({ code: 'object_corrupt' });
    rmSync(object);
    rmSync(join(dir, '0001'), { force: true });
    await expect(put()).rejects.toMatchObject({ code: 'object_missing' });
  });

  it('are not published by a writer that was replaced meanwhile', async () => {
    const { place, keys } = archive;
    const last = written.slices.at(-1) as StoredSlice;
    const recordKey = last.recordKey.replace('0000000005', '0000000006');
    await expect(
      writeLogSlice({
        place,
        keys,
        installationId,
        slice: {
          ...last.record,
          fromSeq: 6,
          seq: 6,
          bytes: 3,
          previous: last.recordSha256,
        },
        source: Readable.from([Buffer.from('abc')]),
        signal,
        assertMayPublish: () => Promise.reject(new Error('replaced')),
      }),
    ).rejects.toThrow('replaced');
    expect(existsSync(archive.path(recordKey))).toBe(false);
  });

  it('are published after their predecessor, also when their bytes were stored before it', async () => {
    const fresh = await makeArchive(type, encrypted);
    const predecessor = Promise.withResolvers<StoredSlice>();
    const stored = Promise.withResolvers<void>();
    const [{ record }] = written.slices as [StoredSlice];
    const second = writeLogSlice({
      place: fresh.place,
      keys: fresh.keys,
      installationId,
      slice: { ...record, fromSeq: 2, seq: 2, offset: 3, bytes: 3, previous: null },
      link: async () => {
        stored.resolve();
        return { previous: tailOf(await predecessor.promise), coversTo: null };
      },
      source: Readable.from([Buffer.from('def')]),
      signal,
      assertMayPublish: async () => {},
    });
    await stored.promise;
    const first = await write(fresh, null, { file: '0001', offset: 0, body: Buffer.from('abc') });
    expect(existsSync(fresh.path(first.recordKey.replaceAll('0000000001', '0000000002')))).toBe(false);
    predecessor.resolve(first);
    expect((await second).record.previous).toBe(tailOf(first));
    expect(existsSync(fresh.path((await second).recordKey))).toBe(true);
  });
});
