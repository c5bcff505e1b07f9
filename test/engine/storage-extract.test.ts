import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatExportedKey } from '../../src/keys/exported-key.js';
import { formatKey } from '../../src/keys/key-text.js';
import { newMasterKey } from '../../src/keys/master-key.js';
import { createWrappingKey, rewrap } from '../../src/keys/wrapping-key.js';
import { openDestination } from '../../src/storage/open-destination.js';
import { syncSealedKeys } from '../../src/storage/sync-sealed-keys.js';
import { useS3Store } from '../support/s3-store.js';
import type { StoredBackup } from '../support/stored-backup.js';
import { storeBackup } from '../support/stored-backup.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const signal = new AbortController().signal;
const store = useS3Store();
const root = mkdtempSync(join(tmpdir(), 'tm-extract-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const file = (name: string, text: string) => {
  const path = join(root, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
};

/** Runs the command as a user does: another process, nothing of the service around, an environment of its own. */
function extract(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', join(repository, 'src/cli/main.ts'), 'extract', ...args],
      { cwd: repository, env: { PATH: process.env.PATH, HOME: root, TIDEMARK_HOME: join(root, 'no-home') } },
      (error, out, err) => resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
  });
}

describe('tidemark extract', () => {
  const master = newMasterKey();
  const masterFile = file('master.key', formatKey(master.bytes));
  let directory: string;
  let backup: StoredBackup;
  let plain: StoredBackup;
  beforeAll(async () => {
    directory = mkdtempSync(join(root, 'd-'));
    const destination = openDestination({ type: 'directory', path: directory, prefix: '' }, { directoryRoots: [root] });
    backup = await storeBackup({ destination, master, name: 'dump.pgc' });
    plain = await storeBackup({ destination, master, encrypted: false, name: 'dump.pgc' });
  });
  const newFolder = () => join(mkdtempSync(join(root, 'o-')), 'out');

  it('lists the backups that it finds, and says of each whether it can be used', async () => {
    const { code, out } = await extract('--from', directory, '--master-key', masterFile);
    expect(code).toBe(0);
    expect(out).toContain(backup.backupId);
    expect(out).toContain(plain.backupId);
    expect(out).toContain('postgresql 17.12  shop  3000000 bytes');
    const other = await extract('--from', directory, '--json', '--wrapping-key', exportedKey(backup));
    const items = JSON.parse(other.out) as { backupId: string; error: string | null }[];
    expect(items.find((item) => item.backupId === backup.backupId)?.error).toBeNull();
    expect(items.find((item) => item.backupId === plain.backupId)?.error).toContain('--master-key');
  });

  const exportedKey = (of: StoredBackup) => file(`${of.key.id}.json`, formatExportedKey(of.key));

  it.each(['master key', 'wrapping key'])("gives the engine's own file back with the %s alone", async (kind) => {
    const out = newFolder();
    const key = kind === 'master key' ? ['--master-key', masterFile] : ['--wrapping-key', exportedKey(backup)];
    const result = await extract('--from', directory, ...key, '--backup', backup.backupId, '--out', out);
    expect(result.err).toBe('');
    expect(result.out).toContain('pg_restore of PostgreSQL 17 or later');
    expect(readdirSync(out)).toEqual(['dump.pgc']);
    expect(readFileSync(join(out, 'dump.pgc')).equals(backup.content)).toBe(true);
    expect(statSync(join(out, 'dump.pgc')).mode & 0o777).toBe(0o600);
  });

  it('reads a backup that is not encrypted, and authenticates it all the same', async () => {
    const out = newFolder();
    const args = ['--from', directory, '--backup', plain.backupId, '--out', out];
    expect((await extract(...args, '--master-key', masterFile)).code).toBe(0);
    expect(readFileSync(join(out, 'dump.pgc')).equals(plain.content)).toBe(true);
    const without = await extract(...args);
    expect(without).toMatchObject({ code: 1, err: expect.stringContaining('--master-key') });
  });

  it('does not replace a file unless it is told to', async () => {
    const out = newFolder();
    const args = ['--from', directory, '--master-key', masterFile, '--backup', backup.backupId, '--out', out];
    expect((await extract(...args)).code).toBe(0);
    writeFileSync(join(out, 'dump.pgc'), 'mine');
    const again = await extract(...args);
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('is there already') });
    // The table's remedy is for requests.
    expect(again.err).not.toContain('overwrite: true');
    expect(readFileSync(join(out, 'dump.pgc'), 'utf8')).toBe('mine');
    expect((await extract(...args, '--overwrite')).code).toBe(0);
    expect(readFileSync(join(out, 'dump.pgc')).equals(backup.content)).toBe(true);
  });

  it('refuses a wrong master key and writes nothing', async () => {
    const out = newFolder();
    const wrong = file('wrong.key', formatKey(newMasterKey().bytes));
    const result = await extract('--from', directory, '--master-key', wrong, '--backup', backup.backupId, '--out', out);
    expect(result).toMatchObject({ code: 1, err: expect.stringContaining('master key does not open') });
    expect(existsSync(out)).toBe(false);
  });

  it('reads old backups with a new master key once the destination has the re-sealed keys', async () => {
    const next = newMasterKey();
    const nextFile = file('next.key', formatKey(next.bytes));
    const args = ['--from', directory, '--master-key', nextFile, '--backup', backup.backupId, '--out', newFolder()];
    expect((await extract(...args)).code).toBe(1);
    const destination = openDestination({ type: 'directory', path: directory, prefix: '' }, { directoryRoots: [root] });
    const sealed = await rewrap(master, next, backup.key.id, backup.sealedKey);
    const keys = [{ id: backup.key.id, sealed }];
    expect(await syncSealedKeys({ destination, keys, signal })).toEqual([backup.key.id]);
    expect(await syncSealedKeys({ destination, keys, signal })).toEqual([]);
    expect((await extract(...args)).code).toBe(0);
  });

  it('names a damaged object and the next older backup that is whole, and leaves no file', async () => {
    const damaged = mkdtempSync(join(root, 'd-'));
    const destination = openDestination({ type: 'directory', path: damaged, prefix: '' }, { directoryRoots: [root] });
    const older = await storeBackup({ destination, master });
    const { databaseId } = older;
    const headless = await storeBackup({ destination, master, databaseId });
    truncateSync(join(damaged, headless.artifact.objects[0]!.key), 10);
    const victim = await storeBackup({ destination, master, databaseId });
    // Later, and of another database: neither is what was asked for, only earlier.
    await storeBackup({ destination, master, databaseId });
    await storeBackup({ destination, master });
    const key = victim.artifact.objects[2]!.key;
    const bytes = readFileSync(join(damaged, key));
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(join(damaged, key), bytes);
    const out = newFolder();
    const result = await extract(
      '--from',
      damaged,
      '--master-key',
      masterFile,
      '--backup',
      victim.backupId,
      '--out',
      out,
    );
    expect(result).toMatchObject({ code: 1, out: '', err: expect.stringContaining(key) });
    expect(result.err).toContain(`--backup ${older.backupId}`);
    expect(readdirSync(out)).toEqual([]);
    const askForHeadless = () =>
      extract('--from', damaged, '--master-key', masterFile, '--backup', headless.backupId, '--out', newFolder());
    expect((await askForHeadless()).err).toContain(`--backup ${older.backupId}`);
    truncateSync(join(damaged, older.artifact.objects[0]!.key), 10);
    expect(await askForHeadless()).toMatchObject({ code: 1, err: expect.stringContaining('There is no older one') });
  });

  it('reads from an S3 store with credentials from a file, and shows none of them', async () => {
    const bucket = await store.createBucket();
    const key = await createWrappingKey(master);
    const destination = openDestination(store.config(bucket, 'team/a'));
    const inStore = await storeBackup({ destination, master, key });
    const { endpoint, accessKeyId, secretAccessKey } = store;
    const credentials = file('s3.json', JSON.stringify({ accessKeyId, secretAccessKey }));
    const out = newFolder();
    const args = ['--from', `s3://${bucket}/team/a`, '--endpoint', endpoint, '--credentials', credentials];
    const result = await extract(...args, '--master-key', masterFile, '--backup', inStore.backupId, '--out', out);
    expect(result.err).toBe('');
    expect(readFileSync(join(out, 'dump.bin')).equals(inStore.content)).toBe(true);

    const wrong = file('bad.json', JSON.stringify({ accessKeyId, secretAccessKey: 'planted-wrong-secret' }));
    const denied = await extract(...args.slice(0, -1), wrong, '--master-key', masterFile);
    expect(denied).toMatchObject({ code: 1, err: expect.stringContaining('the secret access key is wrong') });
    expect(denied.out + denied.err).not.toContain('planted-wrong-secret');
    chmodSync(wrong, 0o600);
  });
});
