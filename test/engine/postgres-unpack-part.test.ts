import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, describe, expect, it } from 'vitest';
import type { RecoverablePart } from '../../src/engines/chain-engine.js';
import type { SandboxPlace } from '../../src/engines/postgres/chain/sandbox-place.js';
import { hasZstd, unpackPart } from '../../src/engines/postgres/chain/unpack-part.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { readArtifact, readPackedArtifact } from '../../src/storage/read-artifact.js';
import { writeArtifact } from '../../src/storage/write-artifact.js';
import { flipByte } from '../support/damage.js';

const signal = new AbortController().signal;
const root = mkdtempSync(join(tmpdir(), 'tm-unpack-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const zstdHere = await hasZstd();

/** A tar file of two folders in a destination, not encrypted: damage then reaches whoever decompresses. */
async function storePart(): Promise<{ part: RecoverablePart; stored: string; files: Map<string, Buffer> }> {
  const from = mkdtempSync(join(root, 'from-'));
  const files = new Map([
    ['base/1/1259', Buffer.concat([randomBytes(3_000_000), Buffer.alloc(6_000_000, 'row ')])],
    ['base/1/empty', Buffer.alloc(0)],
    ['global/pg_control', randomBytes(8192)],
  ]);
  for (const [name, content] of files) {
    mkdirSync(join(from, name, '..'), { recursive: true });
    writeFileSync(join(from, name), content, { mode: 0o600 });
  }
  const path = mkdtempSync(join(root, 'store-'));
  const destination = openDestination({ type: 'directory', path, prefix: '' }, { directoryRoots: [root] });
  const context = { installation: 'inst_1', backup: 'bkp_1' };
  const artifact = await writeArtifact({
    ...{ destination, context, signal, key: null, keyPrefix: 'part', name: 'base.tar', role: 'base' },
    tool: { name: 'tar', version: '1' },
    source: Readable.from([execFileSync('tar', ['-cf', '-', '-C', from, '.'], { maxBuffer: 32 * 1024 * 1024 })]),
    maxObjectBytes: 4 * 1024 * 1024,
  });
  expect(artifact.objects.length).toBeGreaterThan(1);
  const options = { destination, artifact, key: null, context, signal };
  return {
    part: {
      name: artifact.name,
      open: () => readArtifact(options),
      openPacked: () => readPackedArtifact(options),
    },
    stored: join(path, artifact.objects[0]?.key ?? ''),
    files,
  };
}

function makePlace(abort: AbortSignal = signal): SandboxPlace & { into: string } {
  const dir = mkdtempSync(join(root, 'sandbox-'));
  const into = join(dir, 'data');
  mkdirSync(into);
  return {
    dir,
    data: into,
    programs: { version: '17', commands: {} },
    major: 17,
    user: undefined,
    signal: abort,
    into,
  };
}

describe.each(['zstd', 'here'] as const)('a part of a backup that is decompressed by: %s', (by) => {
  // The service decompresses by itself where the program is not installed, and so does the other half of this file.
  const test = it.skipIf(by === 'zstd' && !zstdHere);

  test('is unpacked with all its files, those of every object', async () => {
    const { part, files } = await storePart();
    const { into, ...place } = makePlace();
    await unpackPart(place, part, into, by);
    for (const [name, content] of files) {
      expect(readFileSync(join(into, name)).equals(content), name).toBe(true);
      expect(statSync(join(into, name)).mode & 0o777).toBe(0o600);
    }
  });

  test('is refused as damaged, naming the object, when a byte was changed in the store', async () => {
    const { part, stored } = await storePart();
    flipByte(stored);
    const { into, ...place } = makePlace();
    await expect(unpackPart(place, part, into, by)).rejects.toMatchObject({ code: 'object_corrupt' });
  });

  test('fails in the words of tar when the place is not there', async () => {
    const { part } = await storePart();
    const { into, ...place } = makePlace();
    rmSync(into, { recursive: true });
    await expect(unpackPart(place, part, into, by)).rejects.toMatchObject({
      code: 'sandbox_failed',
      message: expect.stringMatching(/^Unpacking base\.tar failed: .*No such file or directory/s),
    });
  });

  test('ends at once when the run is cancelled', async () => {
    const { part } = await storePart();
    const abort = new AbortController();
    const { into, ...place } = makePlace(abort.signal);
    const slow: RecoverablePart = {
      ...part,
      open: () => Promise.resolve(new Readable({ read() {} })),
      openPacked: () => Promise.resolve(new Readable({ read() {} })),
    };
    const unpacking = unpackPart(place, slow, into, by);
    setTimeout(() => abort.abort(), 200);
    await expect(unpacking).rejects.toMatchObject({ code: 'cancelled' });
  });
});
