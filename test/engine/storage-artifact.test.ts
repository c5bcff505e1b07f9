import { copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { masterKeyOpener, wrappingKeyOpener } from '../../src/keys/key-opener.js';
import { newMasterKey } from '../../src/keys/master-key.js';
import { createWrappingKey } from '../../src/keys/wrapping-key.js';
import type { Destination } from '../../src/storage/destination.js';
import { manifestKey } from '../../src/storage/layout.js';
import type { Artifact } from '../../src/storage/manifest.js';
import { openDestination } from '../../src/storage/open-destination.js';
import type { ReadArtifact } from '../../src/storage/read-artifact.js';
import { readArtifact, readPackedArtifact } from '../../src/storage/read-artifact.js';
import { readManifest } from '../../src/storage/read-manifest.js';
import { unpackFrames } from '../../src/storage/unpack-frames.js';
import { verifyArtifacts } from '../../src/storage/verify-artifact.js';
import { sealManifest, writeManifest } from '../../src/storage/write-manifest.js';
import { useS3Store } from '../support/s3-store.js';
import type { StoredBackup } from '../support/stored-backup.js';
import { storeBackup } from '../support/stored-backup.js';

const signal = new AbortController().signal;
const master = newMasterKey();
const store = useS3Store();
const root = mkdtempSync(join(tmpdir(), 'tm-artifact-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A destination, and where its objects lie as files (versitygw keeps them so, too): an attacker of the store writes there. */
type Place = { readonly destination: Destination; readonly path: (key: string) => string };

async function makePlace(type: 's3' | 'directory'): Promise<Place> {
  if (type === 'directory') {
    const path = mkdtempSync(join(root, 'd-'));
    const destination = openDestination({ type, path, prefix: '' }, { directoryRoots: [root] });
    return { destination, path: (key) => join(path, key) };
  }
  const bucket = await store.createBucket();
  const destination = openDestination(store.config(bucket, 'team'));
  return { destination, path: (key) => join(store.dataDir, bucket, 'team', key) };
}

async function readAll(options: Omit<ReadArtifact, 'signal'>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await readArtifact({ ...options, signal })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const optionsFor = (destination: Destination, backup: StoredBackup, artifact: Artifact = backup.artifact) => ({
  destination,
  artifact,
  key: backup.encrypted ? backup.key : null,
  context: { installation: backup.installationId, backup: backup.backupId },
});
const readBackup = (...of: Parameters<typeof optionsFor>) => readAll(optionsFor(...of));
const readPacked = async (...of: Parameters<typeof optionsFor>) =>
  await buffer(await readPackedArtifact({ ...optionsFor(...of), signal }));

const manifestOf = (destination: Destination, backup: StoredBackup) =>
  readManifest({ destination, ...backup, openKey: masterKeyOpener(master), signal });

describe.each([
  ['s3', true],
  ['s3', false],
  ['directory', true],
  ['directory', false],
] as const)('a backup in a destination of type %s, encrypted: %s', (type, encrypted) => {
  let place: Place;
  beforeAll(async () => {
    place = await makePlace(type);
  });
  const make = () => storeBackup({ destination: place.destination, master, encrypted });

  it('is cut into several objects and read back byte for byte', async () => {
    const backup = await make();
    expect(backup.artifact.objects).toHaveLength(3);
    expect(backup.artifact.bytes).toBe(backup.content.length);
    const { manifest, key } = await manifestOf(place.destination, backup);
    expect(manifest).toEqual(backup.manifest);
    expect(key !== null).toBe(encrypted);
    await verifyArtifacts({ destination: place.destination, artifacts: manifest.artifacts, signal });
    expect((await readBackup(place.destination, backup)).equals(backup.content)).toBe(true);
  });

  it('is read back still compressed, its objects one after the other', async () => {
    const backup = await make();
    const packed = await readPacked(place.destination, backup);
    expect(packed.length).toBeLessThan(backup.content.length);
    const chunks = (async function* () {
      yield packed;
    })();
    expect((await buffer(unpackFrames(chunks))).equals(backup.content)).toBe(true);
  });

  it('shows its content in the store only when it is not encrypted', async () => {
    const backup = await make();
    const last = readFileSync(place.path(backup.artifact.objects[2]!.key));
    if (encrypted) expect(last.includes('a row of text')).toBe(false);
    else
      expect(zstdDecompressSync(last).equals(backup.content.subarray(-backup.artifact.objects[2]!.bytes))).toBe(true);
  });

  // Each attack must be found by the check before a restore, and also by a reader who skips that check.
  const attacks: [string, 'object_corrupt' | 'object_missing', (path: string, other: string) => void][] = [
    ['one flipped byte in the middle', 'object_corrupt', (path) => flip(path, 0.5)],
    ['one flipped byte at the start', 'object_corrupt', (path) => flip(path, 0)],
    ['one flipped byte at the end', 'object_corrupt', (path) => flip(path, 1)],
    ['a truncated object', 'object_corrupt', (path) => truncateSync(path, readFileSync(path).length - 1)],
    ['an emptied object', 'object_corrupt', (path) => truncateSync(path, 0)],
    ['an object with a byte more', 'object_corrupt', (path) => writeFileSync(path, 'x', { flag: 'a' })],
    ['a missing object', 'object_missing', (path) => rmSync(path)],
    ['an object in the place of another', 'object_corrupt', (path, other) => copyFileSync(other, path)],
  ];
  it.each(attacks)('with %s is refused, naming the object', async (_name, code, attack) => {
    const backup = await make();
    const [first, second] = backup.artifact.objects;
    attack(place.path(second!.key), place.path(first!.key));
    const expected = { code, details: { object: second!.key } };
    const { manifest } = await manifestOf(place.destination, backup);
    const verify = verifyArtifacts({ destination: place.destination, artifacts: manifest.artifacts, signal });
    await expect(verify).rejects.toMatchObject(expected);
    await expect(readBackup(place.destination, backup)).rejects.toMatchObject(expected);
    await expect(readPacked(place.destination, backup)).rejects.toMatchObject(expected);
  });

  it('with a manifest that is changed in any field is refused', async () => {
    const backup = await make();
    const path = place.path(manifestKey(backup.databaseId, backup.backupId));
    const original = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    const changes: Record<string, unknown>[] = [
      { ...original, takenAt: '2020-01-01T00:00:00.000Z' },
      { ...original, added: true },
      { ...original, artifacts: [] },
      { ...original, label: 'x' },
      { ...original, encryption: encrypted ? null : { suite: 'x', keyId: backup.key.id, sealedKey: 'x' } },
      { ...original, mac: '0'.repeat(64) },
      { ...original, mac: '' },
      { format: 'tidemark-manifest-1' },
    ];
    for (const change of changes) {
      writeFileSync(path, JSON.stringify(change));
      await expect(manifestOf(place.destination, backup), JSON.stringify(change).slice(-40)).rejects.toMatchObject({
        code: 'manifest_forged',
        details: { object: manifestKey(backup.databaseId, backup.backupId) },
      });
    }
    writeFileSync(path, '{');
    await expect(manifestOf(place.destination, backup)).rejects.toMatchObject({ code: 'manifest_forged' });
    // Written in another order it says the same.
    writeFileSync(path, JSON.stringify(Object.fromEntries(Object.entries(original).reverse())));
    expect((await manifestOf(place.destination, backup)).manifest).toEqual(backup.manifest);
  });

  it('with the manifest of another backup in its place is refused', async () => {
    const backup = await make();
    const other = await storeBackup({
      destination: place.destination,
      master,
      encrypted,
      databaseId: backup.databaseId,
      key: { key: backup.key, sealed: backup.sealedKey },
    });
    copyFileSync(
      place.path(manifestKey(other.databaseId, other.backupId)),
      place.path(manifestKey(backup.databaseId, backup.backupId)),
    );
    await expect(manifestOf(place.destination, backup)).rejects.toMatchObject({ code: 'manifest_forged' });
  });

  it('without a manifest is no backup', async () => {
    const backup = await make();
    rmSync(place.path(manifestKey(backup.databaseId, backup.backupId)));
    await expect(manifestOf(place.destination, backup)).rejects.toMatchObject({ code: 'manifest_missing' });
  });

  it('takes one manifest only, and takes the same one twice', async () => {
    const backup = await make();
    const { mac: _mac, macKey, ...content } = backup.manifest;
    const write = (manifest: typeof content) =>
      writeManifest({ destination: place.destination, manifest, key: backup.key, sealedKey: macKey.sealedKey, signal });
    expect(await write(content)).toEqual(backup.manifest);
    await expect(write({ ...content, attemptId: 'att_other' })).rejects.toMatchObject({ code: 'manifest_exists' });
    expect((await manifestOf(place.destination, backup)).manifest.attemptId).toBe(backup.attemptId);
  });
});

describe('an encrypted backup', () => {
  let place: Place;
  beforeAll(async () => {
    place = await makePlace('directory');
  });

  it('is refused when objects are exchanged and the manifest is made to fit, because each is bound to its name', async () => {
    const backup = await storeBackup({ destination: place.destination, master });
    const [first, second, third] = backup.artifact.objects;
    const [a, b] = [place.path(first!.key), place.path(second!.key)];
    renameSync(a, `${a}.tmp`);
    renameSync(b, a);
    renameSync(`${a}.tmp`, b);
    const objects = [{ ...second!, key: first!.key }, { ...first!, key: second!.key }, third!];
    const fitting = { ...backup.artifact, objects };
    await verifyArtifacts({ destination: place.destination, artifacts: [fitting], signal });
    await expect(readBackup(place.destination, backup, fitting)).rejects.toMatchObject({
      code: 'object_corrupt',
      message: expect.stringContaining('written for another object'),
      details: { object: first!.key },
    });
  });

  it('is refused as another backup or another installation', async () => {
    const backup = await storeBackup({ destination: place.destination, master });
    const { artifact, key } = backup;
    for (const context of [
      { installation: backup.installationId, backup: 'bkp_other' },
      { installation: 'inst_other', backup: backup.backupId },
    ]) {
      const reading = readAll({ destination: place.destination, artifact, key, context });
      await expect(reading).rejects.toMatchObject({ code: 'object_corrupt' });
    }
  });

  it('is read with its wrapping key alone, and not with another', async () => {
    const backup = await storeBackup({ destination: place.destination, master });
    const read = (openKey: ReturnType<typeof wrappingKeyOpener>) =>
      readManifest({ destination: place.destination, ...backup, openKey, signal });
    const { manifest, key } = await read(wrappingKeyOpener([backup.key]));
    const context = { installation: manifest.installationId, backup: manifest.backupId };
    const content = await readAll({ destination: place.destination, artifact: manifest.artifacts[0]!, key, context });
    expect(content.equals(backup.content)).toBe(true);

    const { key: stranger } = await createWrappingKey(master);
    await expect(read(wrappingKeyOpener([stranger]))).rejects.toMatchObject({ code: 'key_missing' });
    const impostor = { id: backup.key.id, bytes: stranger.bytes };
    await expect(read(wrappingKeyOpener([impostor]))).rejects.toMatchObject({ code: 'manifest_forged' });
    await expect(read(masterKeyOpener(newMasterKey()))).rejects.toMatchObject({ code: 'wrong_master_key' });
  });

  it('does not accept a manifest that an owner of the key made for objects of another backup', async () => {
    const backup = await storeBackup({ destination: place.destination, master });
    const other = await storeBackup({ destination: place.destination, master });
    const { mac: _mac, macKey: _key, ...content } = backup.manifest;
    const forged = sealManifest({ ...content, artifacts: [other.artifact] }, backup.key, backup.sealedKey);
    writeFileSync(place.path(manifestKey(backup.databaseId, backup.backupId)), JSON.stringify(forged));
    await expect(manifestOf(place.destination, backup)).rejects.toMatchObject({
      code: 'manifest_forged',
      message: expect.stringContaining('not part of the backup'),
    });
  });
});

function flip(path: string, where: number): void {
  const bytes = readFileSync(path);
  const index = Math.min(bytes.length - 1, Math.floor(bytes.length * where));
  bytes[index] = (bytes[index] ?? 0) ^ 0x01;
  writeFileSync(path, bytes);
}
