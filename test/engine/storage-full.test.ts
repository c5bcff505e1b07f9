import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import { checkDestination } from '../../src/storage/check-destination.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { startS3Store } from '../support/start-s3-store.js';

const MIB = 1024 * 1024;
const signal = new AbortController().signal;

/** A file system of a few MiB, or null where mounting is not allowed. */
function mountSmall(path: string): (() => void) | null {
  mkdirSync(path);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', path], { stdio: 'ignore' });
    return () => execFileSync('umount', ['-l', path]);
  } catch {
    return null;
  }
}

const root = mkdtempSync(join(tmpdir(), 'tm-full-'));
const small = join(root, 'small');
const unmount = mountSmall(small);
afterAll(() => {
  unmount?.();
  rmSync(root, { recursive: true, force: true });
});

const why = unmount ? '' : ' [skipped: only root may mount the small file system that this needs]';

describe.skipIf(unmount === null)(`a full disk${why}`, () => {
  const upload = (destination: ReturnType<typeof openDestination>, bytes: number) =>
    destination.upload('tidemark/v1/x/data', Readable.from([randomBytes(bytes)]), { signal });

  it('of a directory destination is said, and leaves no part of the object', async () => {
    const path = join(small, 'directory');
    mkdirSync(path);
    const destination = openDestination({ type: 'directory', path, prefix: '' }, { directoryRoots: [root] });
    await expect(upload(destination, 8 * MIB)).rejects.toMatchObject({
      code: 'destination_full',
      message: expect.stringContaining('no space is left'),
    });
    const left = readdirSync(path, { recursive: true, encoding: 'utf8' });
    expect(left.filter((name) => name.includes('data'))).toEqual([]);
    expect((await checkDestination({ destination, signal })).ok).toBe(true);
  });

  it('of an S3 store is said, naming the object, and leaves no upload', async () => {
    const data = join(small, 's3');
    mkdirSync(data);
    const store = await startS3Store({ dataDir: data });
    try {
      const bucket = await store.createBucket();
      const destination = openDestination(store.config(bucket), { patienceMs: 0 });
      await expect(upload(destination, 40 * MIB)).rejects.toMatchObject({
        code: 'destination_full',
        details: { object: 'tidemark/v1/x/data' },
      });
      expect(await store.openUploads(bucket)).toEqual([]);
    } finally {
      await store.close();
    }
  });
});
