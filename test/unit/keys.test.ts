import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/domain/ids.js';
import { decryptStream, encryptBytes, encryptStream } from '../../src/keys/encryption-sdk.js';
import { formatExportedKey, parseExportedKey } from '../../src/keys/exported-key.js';
import { createInstallationKey, installationKeyId } from '../../src/keys/installation-key.js';
import { formatKey, parseKey } from '../../src/keys/key-text.js';
import { loadMasterKey, newMasterKey } from '../../src/keys/master-key.js';
import { resealAll } from '../../src/keys/rotate-master-key.js';
import { openText, sealMasterKeyCheck, sealText, secretContext, verifyMasterKey } from '../../src/keys/seal.js';
import { createWrappingKey, openWrappingKey } from '../../src/keys/wrapping-key.js';

const root = mkdtempSync(join(tmpdir(), 'tm-keys-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const newHome = () => mkdtempSync(join(root, 'home-'));

describe('the master key', () => {
  it('is generated at the first start, readable by its owner alone, and is the same at the second', () => {
    const home = join(newHome(), 'not', 'yet', 'there');
    const first = loadMasterKey({ home, fromEnv: undefined });
    expect(first).toMatchObject({ source: 'file', created: true, path: join(home, 'master.key') });
    expect(statSync(join(home, 'master.key')).mode & 0o777).toBe(0o600);
    const second = loadMasterKey({ home, fromEnv: undefined });
    expect(second).toMatchObject({ created: false, key: first.key });
    expect(readdirSync(home)).toEqual(['master.key']);
  });

  it('is one key when several processes start for the first time at once', async () => {
    const home = newHome();
    const script = join(home, 'load.mts');
    const source = fileURLToPath(new URL('../../src/keys/master-key.ts', import.meta.url));
    writeFileSync(
      script,
      `import { loadMasterKey } from ${JSON.stringify(source)};
       const { key, created } = loadMasterKey({ home: ${JSON.stringify(join(home, 'state'))}, fromEnv: undefined });
       console.log(JSON.stringify([Buffer.from(key.bytes).toString('base64'), created]));`,
    );
    const run = promisify(execFile);
    const repository = fileURLToPath(new URL('../..', import.meta.url));
    const starts = Array.from({ length: 4 }, () =>
      run(process.execPath, ['--import', 'tsx', script], { cwd: repository }),
    );
    const results = (await Promise.all(starts)).map(({ stdout }) => JSON.parse(stdout) as [string, boolean]);
    expect(new Set(results.map(([key]) => key)).size).toBe(1);
    expect(results.filter(([, created]) => created)).toHaveLength(1);
  });

  it('comes from the environment when it is there, and no file is written', () => {
    const home = newHome();
    const key = newMasterKey();
    const fromEnv = formatKey(key.bytes);
    expect(loadMasterKey({ home, fromEnv })).toEqual({ key, source: 'environment', path: null, created: false });
    const hex = Buffer.from(key.bytes).toString('hex');
    expect(loadMasterKey({ home, fromEnv: hex }).key).toEqual(key);
    expect(readdirSync(home)).toEqual([]);
  });

  it.each(['too short', Buffer.alloc(31, 1).toString('base64'), `${Buffer.alloc(33, 1).toString('base64')}`])(
    'is refused when it is not 32 bytes, without being repeated: %j',
    (fromEnv) => {
      const load = () => loadMasterKey({ home: newHome(), fromEnv });
      expect(load).toThrow(expect.objectContaining({ code: 'master_key_invalid' }));
      expect(load).not.toThrow(fromEnv);
    },
  );

  it('is refused when other users can read its file', () => {
    const home = newHome();
    loadMasterKey({ home, fromEnv: undefined });
    chmodSync(join(home, 'master.key'), 0o644);
    expect(() => loadMasterKey({ home, fromEnv: undefined })).toThrow('chmod 600');
  });

  it('is not generated a second time for an installation that has one', () => {
    const home = newHome();
    const load = () => loadMasterKey({ home, fromEnv: undefined, create: false });
    expect(load).toThrow(expect.objectContaining({ code: 'master_key_invalid' }));
    expect(readdirSync(home)).toEqual([]);
  });

  it('is recognised as wrong at start', async () => {
    const master = newMasterKey();
    const installationId = newId('installation');
    const check = await sealMasterKeyCheck(master, installationId);
    await verifyMasterKey(master, installationId, check);
    const wrong = { code: 'wrong_master_key' };
    await expect(verifyMasterKey(newMasterKey(), installationId, check)).rejects.toMatchObject(wrong);
    await expect(verifyMasterKey(master, newId('installation'), check)).rejects.toMatchObject(wrong);
  });
});

describe('a sealed text', () => {
  const master = newMasterKey();

  it('opens to what was sealed, and shows nothing of it', async () => {
    const sealed = await sealText(master, 'pässwörd 🔑', secretContext('sec_1'));
    expect(await openText(master, sealed, secretContext('sec_1'))).toBe('pässwörd 🔑');
    expect(Buffer.from(sealed, 'base64').includes('pässwörd')).toBe(false);
    expect(await sealText(master, 'pässwörd 🔑', secretContext('sec_1'))).not.toBe(sealed);
  });

  it('does not open with another key, for another row, changed or cut', async () => {
    const sealed = await sealText(master, 'secret', secretContext('sec_1'));
    const changed = Buffer.from(sealed, 'base64');
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    const wrong = { code: 'wrong_master_key' };
    await expect(openText(newMasterKey(), sealed, secretContext('sec_1'))).rejects.toMatchObject(wrong);
    await expect(openText(master, sealed, secretContext('sec_2'))).rejects.toMatchObject(wrong);
    await expect(openText(master, sealed, { purpose: 'secret' })).rejects.toMatchObject(wrong);
    await expect(openText(master, changed.toString('base64'), secretContext('sec_1'))).rejects.toMatchObject(wrong);
    await expect(openText(master, sealed.slice(0, 40), secretContext('sec_1'))).rejects.toMatchObject(wrong);
    await expect(openText(master, 'not base64 §', secretContext('sec_1'))).rejects.toMatchObject(wrong);
  });
});

describe('wrapping keys', () => {
  const master = newMasterKey();

  it('are bound to their id', async () => {
    const { key, sealed } = await createWrappingKey(master);
    expect(key.id).toMatch(/^key_/);
    expect(await openWrappingKey(master, key.id, sealed)).toEqual(key);
    await expect(openWrappingKey(master, 'key_other', sealed)).rejects.toMatchObject({ code: 'wrong_master_key' });
  });

  it('can be exported as text and read again', async () => {
    const { key } = await createWrappingKey(master);
    expect(parseExportedKey(formatExportedKey(key))).toEqual(key);
    for (const text of ['', '{}', '[]', '{"format":"tidemark-wrapping-key-1","keyId":"x","key":"short"}']) {
      expect(() => parseExportedKey(text)).toThrow(expect.objectContaining({ code: 'key_missing' }));
    }
  });

  it('of an installation have an id that follows from the id of the installation', async () => {
    const id = newId('installation');
    expect(installationKeyId(id)).toBe(id.replace('inst_', 'key_'));
    expect((await createInstallationKey(master, id)).key.id).toBe(installationKeyId(id));
  });

  it('and secrets open with the new master key after a rotation, and not with the old one', async () => {
    const installationId = newId('installation');
    const { key, sealed } = await createWrappingKey(master);
    const secret = { id: 'sec_1', sealed: await sealText(master, 'password', secretContext('sec_1')) };
    const next = newMasterKey();
    const rows = { installationId, wrappingKeys: [{ id: key.id, sealed }], secrets: [secret] };
    const resealed = await resealAll(master, next, rows);
    expect(await openWrappingKey(next, key.id, resealed.wrappingKeys[0]!.sealed)).toEqual(key);
    expect(await openText(next, resealed.secrets[0]!.sealed, secretContext('sec_1'))).toBe('password');
    await verifyMasterKey(next, installationId, resealed.masterKeyCheck);
    const old = openWrappingKey(master, key.id, resealed.wrappingKeys[0]!.sealed);
    await expect(old).rejects.toMatchObject({ code: 'wrong_master_key' });
    await expect(resealAll(newMasterKey(), next, rows)).rejects.toMatchObject({ code: 'wrong_master_key' });
  });

  it.each(['base64', 'base64url', 'hex'] as const)('are read from %s', (encoding) => {
    const bytes = randomBytes(32);
    expect(Buffer.from(parseKey(` ${bytes.toString(encoding)}\n`)!)).toEqual(bytes);
  });
});

describe('encryption', () => {
  const key = { name: 'key_1', bytes: randomBytes(32) };
  const context = { object: 'a' };

  async function decrypt(message: Buffer, chunkBytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let at = 0; at < message.length; at += chunkBytes) parts.push(message.subarray(at, at + chunkBytes));
    const plain: Buffer[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        plain.push(chunk);
        done();
      },
    });
    await pipeline(Readable.from(parts), decryptStream(key, context), sink);
    return Buffer.concat(plain);
  }

  it('notices every single changed byte of a message, however it is cut into chunks, without an uncaught error', async () => {
    const uncaught: Error[] = [];
    const listener = (error: Error) => uncaught.push(error);
    process.on('uncaughtException', listener);
    try {
      const plain = randomBytes(200);
      const message = await encryptBytes(key, plain, context);
      expect((await decrypt(message, 7)).equals(plain)).toBe(true);
      for (const chunkBytes of [1, 13, message.length]) {
        for (let at = 0; at < message.length; at += 1) {
          const changed = Buffer.from(message);
          changed[at] = (changed[at] ?? 0) ^ 0xff;
          await expect(decrypt(changed, chunkBytes), `byte ${at} in chunks of ${chunkBytes}`).rejects.toThrow();
        }
      }
      expect(uncaught).toEqual([]);
    } finally {
      process.off('uncaughtException', listener);
    }
  });

  it('notices a message that is cut at any place', async () => {
    const message = await encryptBytes(key, randomBytes(50), context);
    for (let end = 0; end < message.length; end += 1) {
      await expect(decrypt(message.subarray(0, end), 64), `cut at ${end}`).rejects.toThrow();
    }
  });

  it('can be broken off without an uncaught error', async () => {
    const uncaught: Error[] = [];
    const listener = (error: Error) => uncaught.push(error);
    process.on('uncaughtException', listener);
    try {
      for (let round = 0; round < 10; round += 1) {
        const endless = new Readable({
          read() {
            setImmediate(() => this.push(randomBytes(65536)));
          },
        });
        const slow = new Writable({ write: (_chunk, _encoding, done) => setTimeout(done, 1) });
        const signal = AbortSignal.timeout(round * 10);
        await expect(pipeline(endless, encryptStream(key, context), slow, { signal })).rejects.toThrow();
      }
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(uncaught).toEqual([]);
    } finally {
      process.off('uncaughtException', listener);
    }
  });

  it('reads a key file only as text of one key', () => {
    const home = newHome();
    writeFileSync(join(home, 'master.key'), 'not a key', { mode: 0o600 });
    expect(() => loadMasterKey({ home, fromEnv: undefined })).toThrow('does not hold a key');
    expect(readFileSync(join(home, 'master.key'), 'utf8')).toBe('not a key');
  });
});
