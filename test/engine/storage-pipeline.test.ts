import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { newMasterKey } from '../../src/keys/master-key.js';
import { createWrappingKey } from '../../src/keys/wrapping-key.js';
import type { Destination } from '../../src/storage/destination.js';
import { attemptPrefix } from '../../src/storage/layout.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { writeArtifact } from '../../src/storage/write-artifact.js';
import { useS3Store } from '../support/s3-store.js';

const MIB = 1024 * 1024;
const signal = new AbortController().signal;
const master = newMasterKey();
const store = useS3Store();

describe('the pipeline', () => {
  let destination: Destination;
  beforeAll(async () => {
    destination = openDestination(store.config(await store.createBucket()));
  });
  const write = async (options: Partial<Parameters<typeof writeArtifact>[0]> & { source: Readable }) => {
    const { key } = await createWrappingKey(master);
    return writeArtifact({
      destination,
      keyPrefix: attemptPrefix('db_1', 'bkp_1', `att_${randomBytes(4).toString('hex')}`),
      name: 'dump.bin',
      role: 'dump',
      tool: null,
      key,
      context: { installation: 'inst_1', backup: 'bkp_1' },
      signal,
      ...options,
    });
  };
  const stored = async () => {
    const keys: string[] = [];
    for await (const { key } of destination.list('tidemark/v1/', { signal })) keys.push(key);
    return keys;
  };
  const slowSource = () =>
    new Readable({
      read() {
        setTimeout(() => this.push(randomBytes(64)), 5);
      },
    });

  it('stores an empty source as one empty object', async () => {
    const artifact = await write({ source: Readable.from([]) });
    expect(artifact).toMatchObject({ bytes: 0, objects: [{ bytes: 0 }] });
    await destination.remove([artifact.objects[0]!.key], { signal });
  });

  it('does not begin another object when the source ends exactly at the limit', async () => {
    const limit = MIB - Math.ceil(MIB / 64);
    const artifact = await write({ source: Readable.from([randomBytes(2 * limit)]), maxObjectBytes: MIB });
    expect(artifact.objects.map((object) => object.bytes)).toEqual([limit, limit]);
    expect(artifact.objects.every((object) => object.storedBytes <= MIB)).toBe(true);
    await destination.remove(
      artifact.objects.map((object) => object.key),
      { signal },
    );
  });

  it('completes no object before the tool behind the source has ended well', async () => {
    const failure = new Error('pg_dump: error: exit code 1');
    const sourceDone = delay(50).then(() => {
      throw failure;
    });
    await expect(write({ source: Readable.from([randomBytes(100)]), sourceDone })).rejects.toBe(failure);
    expect(await stored()).toEqual([]);
  });

  it('throws the error of the source itself and stores nothing', async () => {
    const failure = new Error('the source broke');
    async function* failing() {
      yield randomBytes(30 * MIB);
      throw failure;
    }
    await expect(write({ source: Readable.from(failing()) })).rejects.toBe(failure);
    expect(await stored()).toEqual([]);
  });

  it('throws the error of the destination and ends the source, also when the source is silent', async () => {
    const broken = openDestination(store.config('no-such-bucket'));
    for (const make of [slowSource, () => Readable.from([randomBytes(40 * MIB)])]) {
      const source = make();
      setTimeout(() => source.push?.(null), 1_000).unref();
      await expect(write({ source, destination: broken })).rejects.toMatchObject({ code: 'destination_missing' });
      expect(source.destroyed).toBe(true);
    }
    broken.close();
  });

  it('stops at once when it is cancelled while the source is silent', async () => {
    const silent = new Readable({ read() {} });
    silent.push(randomBytes(1000));
    const controller = new AbortController();
    const reason = new Error('cancelled by a person');
    setTimeout(() => controller.abort(reason), 100);
    const started = Date.now();
    await expect(write({ source: silent, signal: controller.signal })).rejects.toBe(reason);
    expect(Date.now() - started).toBeLessThan(5_000);
    expect(silent.destroyed).toBe(true);
    expect(await stored()).toEqual([]);
  });

  it('survives being cancelled at any moment', async () => {
    for (let i = 0; i < 25; i += 1) {
      const controller = new AbortController();
      const reason = new Error('cancelled by a person');
      setTimeout(() => controller.abort(reason), i * 4);
      const source = Readable.from(
        (async function* () {
          for (;;) {
            await delay(0);
            yield randomBytes(256 * 1024);
          }
        })(),
      );
      await expect(write({ source, signal: controller.signal })).rejects.toBe(reason);
    }
    expect(await stored()).toEqual([]);
  });

  it('reports the plain bytes as they pass', async () => {
    const seen: number[] = [];
    const artifact = await write({
      source: Readable.from([randomBytes(1000), randomBytes(2000)]),
      onBytes: (bytes) => seen.push(bytes),
    });
    expect(seen).toEqual([1000, 3000]);
    await destination.remove(
      artifact.objects.map((object) => object.key),
      { signal },
    );
  });
});
