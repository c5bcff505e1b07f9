import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateMultipartUploadCommand } from '@aws-sdk/client-s3';
import { afterAll, describe, expect, it } from 'vitest';
import { checkDestination } from '../../src/storage/check-destination.js';
import type { Destination, DestinationConfig } from '../../src/storage/destination.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { readSmallObject } from '../../src/storage/read-small-object.js';
import { useS3Store } from '../support/s3-store.js';

const MIB = 1024 * 1024;
const signal = new AbortController().signal;
const store = useS3Store();
const root = mkdtempSync(join(tmpdir(), 'tm-dest-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function makeConfig(type: 's3' | 'directory', prefix = 'team/a'): Promise<DestinationConfig> {
  if (type === 's3') return store.config(await store.createBucket(), prefix);
  return { type: 'directory', path: mkdtempSync(join(root, 'd-')), prefix };
}
const open = (config: DestinationConfig): Destination => openDestination(config, { directoryRoots: [root] });

async function keysIn(destination: Destination, prefix = 'tidemark/'): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of destination.list(prefix, { signal })) keys.push(key);
  return keys;
}

/** A stream of random bytes that does not keep them. */
function randomStream(bytes: number): Readable {
  let left = bytes;
  return new Readable({
    read() {
      const size = Math.min(left, 256 * 1024);
      left -= size;
      this.push(size === 0 ? null : randomBytes(size));
    },
  });
}

async function leftovers(config: DestinationConfig): Promise<string[]> {
  if (config.type === 's3') return store.openUploads(config.bucket);
  return readdirSync(config.path, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.partial'));
}

describe.each(['s3', 'directory'] as const)('a destination of type %s', (type) => {
  it('gives back what was put, lists it under its prefix and removes it', async () => {
    const destination = open(await makeConfig(type));
    await destination.put('tidemark/v1/a.json', Buffer.from('one'), { signal });
    await destination.put('tidemark/v1/b/c.json', Buffer.from('two'), { signal });
    expect((await readSmallObject(destination, 'tidemark/v1/b/c.json', signal)).toString()).toBe('two');
    expect(await destination.stat('tidemark/v1/a.json', { signal })).toMatchObject({ bytes: 3 });
    expect(await keysIn(destination)).toEqual(['tidemark/v1/a.json', 'tidemark/v1/b/c.json']);
    expect(await keysIn(destination, 'tidemark/v1/b/')).toEqual(['tidemark/v1/b/c.json']);
    await destination.remove(['tidemark/v1/a.json', 'tidemark/v1/b/c.json', 'tidemark/v1/never.json'], { signal });
    expect(await keysIn(destination)).toEqual([]);
    expect(await destination.stat('tidemark/v1/a.json', { signal })).toBeNull();
  });

  it('does not see what another prefix of the same place holds', async () => {
    const config = await makeConfig(type, 'one');
    await open(config).put('tidemark/v1/a.json', Buffer.from('x'), { signal });
    expect(await keysIn(open({ ...config, prefix: 'on' }))).toEqual([]);
    expect(await keysIn(open({ ...config, prefix: 'one' }))).toEqual(['tidemark/v1/a.json']);
  });

  it('keeps the first of two objects that are put under one name if absent', async () => {
    const destination = open(await makeConfig(type));
    const key = 'tidemark/v1/manifest.json';
    const puts = ['a', 'b', 'c', 'd'].map((text) =>
      destination.put(key, Buffer.from(text), { signal, ifAbsent: true }),
    );
    const results = await Promise.allSettled(puts);
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    const refused = results.find((result) => result.status === 'rejected');
    expect(refused?.reason).toMatchObject({ code: 'manifest_exists', details: { object: key } });
  });

  it.each([0, 5, 16 * MIB, 50 * MIB + 3])('stores a stream of %i bytes whole', async (bytes) => {
    const config = await makeConfig(type);
    const destination = open(config);
    const parts: Buffer[] = [];
    const body = randomStream(bytes).map((chunk: Buffer) => {
      parts.push(chunk);
      return chunk;
    });
    expect(await destination.upload('tidemark/v1/x/data', body, { signal })).toEqual({ bytes });
    const read: Buffer[] = [];
    for await (const chunk of await destination.read('tidemark/v1/x/data', { signal })) read.push(chunk as Buffer);
    expect(Buffer.concat(read).equals(Buffer.concat(parts))).toBe(true);
    expect(await leftovers(config)).toEqual([]);
  });

  it('leaves nothing behind when the source of an upload fails', async () => {
    const config = await makeConfig(type);
    const destination = open(config);
    async function* failing() {
      for (let i = 0; i < 40; i += 1) yield randomBytes(MIB);
      throw new Error('the tool died');
    }
    await expect(destination.upload('tidemark/v1/x/data', Readable.from(failing()), { signal })).rejects.toThrow(
      'the tool died',
    );
    expect(await keysIn(destination)).toEqual([]);
    expect(await leftovers(config)).toEqual([]);
  });

  it('leaves nothing behind when an upload is cancelled, and throws the reason', async () => {
    const config = await makeConfig(type);
    const destination = open(config);
    const controller = new AbortController();
    const reason = new Error('cancelled by a person');
    const body = randomStream(200 * MIB);
    const upload = destination.upload('tidemark/v1/x/data', body, {
      signal: controller.signal,
      onBytes: (bytes) => bytes >= 32 * MIB && controller.abort(reason),
    });
    await expect(upload).rejects.toBe(reason);
    expect(body.destroyed).toBe(true);
    expect(await keysIn(destination)).toEqual([]);
    expect(await leftovers(config)).toEqual([]);
  });

  it('sweeps the leftovers of a killed writer by their age', async () => {
    const config = await makeConfig(type);
    const destination = open(config);
    if (config.type === 's3') {
      const Key = `${config.prefix}/tidemark/v1/db_1/backups/bkp_1/att_1/dump`;
      await store.client().send(new CreateMultipartUploadCommand({ Bucket: config.bucket, Key }));
    } else {
      const folder = join(config.path, config.prefix, 'tidemark/v1/db_1/backups/bkp_1/att_1');
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, '.dump.0123456789ab.partial'), 'half');
    }
    const before = new Date(Date.now() - 60_000);
    expect(await destination.sweepUploads('tidemark/v1/', { olderThan: before, signal })).toEqual([]);
    expect(await leftovers(config)).toHaveLength(1);
    const after = new Date(Date.now() + 60_000);
    expect(await destination.sweepUploads('tidemark/v1/', { olderThan: after, signal })).toHaveLength(1);
    expect(await leftovers(config)).toEqual([]);
  });

  it('names the object that is missing', async () => {
    const destination = open(await makeConfig(type));
    await expect(destination.read('tidemark/v1/gone/data', { signal })).rejects.toMatchObject({
      code: 'object_missing',
      details: { object: 'tidemark/v1/gone/data' },
    });
  });

  it('passes its check by putting, getting, listing and deleting an object, and leaves none', async () => {
    const destination = open(await makeConfig(type));
    const check = await checkDestination({ destination, signal });
    expect(check).toMatchObject({ ok: true, error: null });
    expect(check.steps.map((step) => step.step)).toEqual(['put', 'get', 'list', 'delete']);
    expect(await keysIn(destination)).toEqual([]);
  });

  it.each(['../up', 'a//b', '/etc/passwd', 'a/../b', 'a/.hidden', 'a\\b', 'a\0b', ''])(
    'refuses the object name %j',
    async (key) => {
      const destination = open(await makeConfig(type));
      await expect(destination.put(key, Buffer.from('x'), { signal })).rejects.toMatchObject({
        code: 'path_not_allowed',
      });
      await expect(destination.read(key, { signal })).rejects.toMatchObject({ code: 'path_not_allowed' });
    },
  );
});

describe('an S3 destination', () => {
  it('says that the secret key is wrong, without showing it', async () => {
    const config = { ...store.config(await store.createBucket()), secretAccessKey: 'planted-wrong-secret' };
    const check = await checkDestination({ destination: open(config), signal });
    expect(check.ok).toBe(false);
    expect(check.error).toMatchObject({ code: 'destination_denied' });
    expect(check.error?.message).toContain('the secret access key is wrong');
    expect(check.error?.message).toContain(config.bucket);
    expect(JSON.stringify(check)).not.toContain('planted-wrong-secret');
    expect(JSON.stringify(check)).not.toContain(store.accessKeyId);
  });

  it('says that the access key is unknown', async () => {
    const config = { ...store.config(await store.createBucket()), accessKeyId: 'nobody' };
    const { error } = await checkDestination({ destination: open(config), signal });
    expect(error).toMatchObject({ code: 'destination_denied' });
    // Not «missing»: a backup must not be taken for gone because a key was revoked.
    await expect(open(config).stat('tidemark/v1/a', { signal })).rejects.toMatchObject({ code: 'destination_denied' });
    await expect(open(store.config('no-such-bucket')).stat('tidemark/v1/a', { signal })).rejects.toMatchObject({
      code: 'destination_missing',
    });
    expect(error?.message).toContain('the access key id is not known there');
  });

  it('names the bucket that does not exist', async () => {
    const { error } = await checkDestination({ destination: open(store.config('no-such-bucket')), signal });
    expect(error).toEqual({ code: 'destination_missing', message: expect.stringContaining('no-such-bucket') });
  });

  it('says that nobody answers at its address', async () => {
    const config = { ...store.config('bucket'), endpoint: 'http://127.0.0.1:9' };
    const { error } = await checkDestination({ destination: open(config), signal });
    expect(error).toMatchObject({ code: 'destination_unreachable' });
    expect(error?.message).toContain('127.0.0.1:9');
    expect(error?.message).toContain('ECONNREFUSED');
  });

  it('gives up an upload with a clear error when the store dies under it, and sweeps the rest when it is back', async () => {
    const config = await makeConfig('s3');
    if (config.type !== 's3') throw new Error('unreachable');
    const destination = openDestination(config, { patienceMs: 2_000 });
    let killed: Promise<void> | null = null;
    const upload = destination.upload('tidemark/v1/x/data', randomStream(300 * MIB), {
      signal,
      onBytes: (bytes) => {
        if (bytes >= 32 * MIB) killed ??= store.kill();
      },
    });
    await expect(upload).rejects.toMatchObject({ code: 'destination_unreachable' });
    await killed;
    await store.start();
    await destination.sweepUploads('tidemark/v1/', { olderThan: new Date(Date.now() + 60_000), signal });
    expect(await store.openUploads(config.bucket)).toEqual([]);
    expect(await keysIn(destination)).toEqual([]);
  });

  it('sends failed parts again until a store that is away for seconds is back', async () => {
    const config = await makeConfig('s3');
    const destination = open(config);
    let restarted: Promise<void> | null = null;
    const result = await destination.upload('tidemark/v1/x/data', randomStream(80 * MIB), {
      signal,
      onBytes: (bytes) => {
        if (bytes >= 16 * MIB)
          restarted ??= store
            .kill()
            .then(() => delay(6_000))
            .then(() => store.start());
      },
    });
    await restarted;
    expect(restarted).not.toBeNull();
    expect(result.bytes).toBe(80 * MIB);
    expect(await destination.stat('tidemark/v1/x/data', { signal })).toMatchObject({ bytes: 80 * MIB });
  });

  it('takes a read up again where the connection broke', async () => {
    const config = await makeConfig('s3');
    const destination = open(config);
    const content = randomBytes(64 * MIB);
    await destination.upload('tidemark/v1/x/data', Readable.from([content]), { signal });
    const chunks: Buffer[] = [];
    let restarted = false;
    for await (const chunk of await destination.read('tidemark/v1/x/data', { signal })) {
      chunks.push(chunk as Buffer);
      if (restarted || chunks.length < 20) continue;
      restarted = true;
      await store.kill();
      await store.start();
    }
    expect(Buffer.concat(chunks).equals(content)).toBe(true);
  });

  it('stops reading when it is cancelled', async () => {
    const destination = open(await makeConfig('s3'));
    await destination.upload('tidemark/v1/x/data', randomStream(40 * MIB), { signal });
    const controller = new AbortController();
    const reason = new Error('cancelled by a person');
    const stream = await destination.read('tidemark/v1/x/data', { signal: controller.signal });
    const reading = (async () => {
      for await (const _chunk of stream) controller.abort(reason);
    })();
    await expect(reading).rejects.toBe(reason);
  });
});

describe('a directory destination', () => {
  const directory = (path: string, prefix = '') => ({ type: 'directory', path, prefix }) as const;
  const put = (config: DestinationConfig, roots: readonly string[] = [root]) =>
    openDestination(config, { directoryRoots: roots }).put('tidemark/v1/a', Buffer.from('x'), { signal });

  it('is refused outside of the configured roots, also by a symbolic link or a ..', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'tm-outside-'));
    try {
      const link = join(root, 'link-out');
      symlinkSync(outside, link);
      const refused = { code: 'path_not_allowed' };
      await expect(put(directory(outside))).rejects.toMatchObject(refused);
      await expect(put(directory(link))).rejects.toMatchObject(refused);
      await expect(put(directory(`${root}/../${outside.split('/').at(-1)}`))).rejects.toMatchObject(refused);
      await expect(put(directory('relative/path'))).rejects.toMatchObject(refused);
      await expect(put(directory(`${root}-beside`))).rejects.toMatchObject(refused);
      await expect(put(directory(root), [])).rejects.toMatchObject(refused);
      expect(() => openDestination(directory(root, '../x'), { directoryRoots: [root] })).not.toThrow();
      await expect(put(directory(root, '../x'))).rejects.toMatchObject(refused);
      expect(readdirSync(outside)).toEqual([]);
    } finally {
      rmSync(outside, { recursive: true, force: true });
    }
  });

  it('does not follow a symbolic link inside it', async () => {
    const path = mkdtempSync(join(root, 'd-'));
    const elsewhere = mkdtempSync(join(root, 'e-'));
    writeFileSync(join(elsewhere, 'secret'), 'secret');
    symlinkSync(elsewhere, join(path, 'tidemark'));
    const destination = open(directory(path));
    await expect(destination.put('tidemark/a', Buffer.from('x'), { signal })).rejects.toMatchObject({
      code: 'path_not_allowed',
    });
    await expect(destination.read('tidemark/secret', { signal })).rejects.toMatchObject({ code: 'path_not_allowed' });
    symlinkSync(join(elsewhere, 'secret'), join(path, 'linked'));
    await expect(destination.read('linked', { signal })).rejects.toMatchObject({ code: 'path_not_allowed' });
    expect(readdirSync(elsewhere)).toEqual(['secret']);
  });

  it('names the folder that does not exist', async () => {
    const path = join(root, 'not-there');
    await expect(put(directory(path))).rejects.toMatchObject({
      code: 'destination_missing',
      details: { object: path },
    });
  });

  it('writes and removes beside each other in one folder', async () => {
    const destination = open(directory(mkdtempSync(join(root, 'd-'))));
    const names = Array.from({ length: 60 }, (_, index) => `tidemark/v1/busy/${index}`);
    await Promise.all(
      names.map(async (key) => {
        await destination.put(key, Buffer.from(key), { signal });
        await delay(Math.random() * 5);
        await destination.remove([key], { signal });
      }),
    );
    expect(await keysIn(destination)).toEqual([]);
  });
});
