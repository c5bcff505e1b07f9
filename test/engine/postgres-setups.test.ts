/** Clusters that are set up in other ways than most: segments of another size, and connections by verified TLS alone. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { RecoveryTarget } from '../../src/domain/recovery-target.js';
import type { DatabaseConnection } from '../../src/engines/engine.js';
import { configureArchive } from '../../src/engines/postgres/archive/configure-archive.js';
import { inspectServer } from '../../src/engines/postgres/chain/inspect-server.js';
import { openFull } from '../../src/engines/postgres/chain/open-full.js';
import { openIncremental } from '../../src/engines/postgres/chain/open-incremental.js';
import { connect } from '../../src/engines/postgres/connect.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import { archiveToFolder } from '../support/archive-to-folder.js';
import type { TestEngine } from '../support/engine-servers.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { connectionTo, expectCode, useContext } from './contract-support.js';
import { archiveEngine } from './postgres-archive-source.js';
import { takeAll, useSandboxes } from './postgres-chain-support.js';

/** Folders that go with the test file; the sandbox's user can enter them. */
function useFolders(): () => string {
  const made: string[] = [];
  afterAll(() => {
    for (const dir of made) rmSync(dir, { recursive: true, force: true });
  });
  return () => {
    const dir = mkdtempSync(join(tmpdir(), 'su-'));
    chmodSync(dir, 0o711);
    made.push(dir);
    return dir;
  };
}

/** Archives, backs up and recovers: a full, an incremental, and rows that only the log has. */
function itIsProtected(server: TestEngine, options: { connection(): DatabaseConnection; between(): Promise<void> }) {
  const context = useContext();
  const sandboxes = useSandboxes(context);
  const newFolder = useFolders();

  it('is archived, backed up and recovered to the last commit and to a position before it', async () => {
    const connection = options.connection();
    const base = newFolder();
    const slot = uniqueName('tidemark');
    const logDir = join(base, 'log');
    expect(await inspectServer(connection, context(), { pitr: true, incremental: true })).toMatchObject({
      full: true,
      incremental: true,
      pitr: true,
      reason: null,
    });
    await configureArchive(connection, context(), { slot });
    const archive = await archiveToFolder({
      engine: archiveEngine,
      connection,
      context: context(),
      slot,
      dir: logDir,
      spoolDir: join(base, 'spool'),
    });
    try {
      chmodSync(logDir, 0o711);
      await server.query('CREATE TABLE rows AS SELECT i, repeat(md5(i::text), 20) t FROM generate_series(1, 3000) i');
      const full = await takeAll(await openFull(connection, context(), { label: 'one', fingerprint: false }), 'full');
      await server.query('INSERT INTO rows SELECT i FROM generate_series(3001, 3100) i');
      const incremental = await takeAll(
        await openIncremental(connection, context(), { label: 'two', parent: full.parent }),
        'incremental',
      );
      await options.between();
      await server.query('INSERT INTO rows SELECT i, repeat(md5(i::text), 20) FROM generate_series(3101, 6000) i');
      const [at] = await server.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
      await server.query('SELECT pg_switch_wal()');
      await server.query('INSERT INTO rows SELECT i FROM generate_series(6001, 6100) i');
      const { position } = await archive.catchUp();
      const count = async (target: RecoveryTarget) => {
        const sandbox = await sandboxes.open([full, incremental], {
          logDir,
          logFiles: archive.files(),
          logEnd: position,
          target,
        });
        const session = await connect(sandbox.connection, {
          signal: new AbortController().signal,
          applicationName: 'test',
        });
        const found = await session.value('SELECT count(*) FROM rows');
        await session.close();
        await sandbox.close();
        return found;
      };
      expect(await count({ kind: 'end_of_backup' })).toBe('3100');
      expect(await count({ kind: 'position', position: at!.lsn, before: true })).toBe('6000');
      // Last: it fills up the newest file, which the archive still writes to.
      await archive.stop();
      expect(await count({ kind: 'latest' })).toBe('6100');
    } finally {
      await archive.stop();
    }
  }, 300_000);
}

for (const megabytes of [1, 64])
  describeEngine('pg17', `a cluster with log segments of ${megabytes} MB`, () => {
    const server = usePrivateEngine('pg17', { initdbArgs: [`--wal-segsize=${megabytes}`] });
    itIsProtected(server, {
      connection: () => connectionTo(server, 'postgres'),
      between: async () => {
        const [size] = await server.query('SHOW wal_segment_size');
        expect(size).toEqual({ wal_segment_size: `${megabytes}MB` });
      },
    });
  });

describeEngine('pg17', 'a cluster that one may only enter by TLS', () => {
  const server = usePrivateEngine('pg17');
  const context = useContext();
  const newFolder = useFolders();
  let ca = '';

  beforeAll(async () => {
    const dir = newFolder();
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
    const made = ['-newkey', 'rsa:2048', '-nodes', '-days', '2'];
    openssl('req', '-x509', ...made, '-subj', '/CN=Test authority', '-keyout', 'ca.key', '-out', 'ca.crt');
    openssl('req', ...made, '-subj', '/CN=database', '-keyout', 'server.key', '-out', 'server.csr');
    // The address alone: a name of any kind must not stand in for it.
    writeFileSync(join(dir, 'names'), 'subjectAltName=IP:127.0.0.1\n');
    const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names'];
    openssl('x509', '-req', '-in', 'server.csr', ...signed, '-out', 'server.crt');
    for (const name of ['server.key', 'server.crt']) giveTo(serverUser(), join(dir, name));
    ca = readFileSync(join(dir, 'ca.crt'), 'utf8');
    for (const [name, value] of [
      ['ssl_cert_file', join(dir, 'server.crt')],
      ['ssl_key_file', join(dir, 'server.key')],
      ['ssl', 'on'],
    ])
      await server.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    await server.query("CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'secret'");
    const hba = join(server.engineDataDir, 'pg_hba.conf');
    const refused = ['all', 'replication'].map((database) => `hostnossl ${database} guarded all reject\n`).join('');
    writeFileSync(hba, `${refused}${readFileSync(hba, 'utf8')}`);
    await server.query('SELECT pg_reload_conf()');
    await until(
      () =>
        connect(secure(), { signal: new AbortController().signal, applicationName: 'test' }).then(
          (session) => session.close().then(() => true),
          () => false,
        ),
      'the server to take connections by TLS',
    );
  });
  const secure = (): DatabaseConnection => ({
    ...connectionTo(server, 'postgres'),
    username: 'guarded',
    password: 'secret',
    tls: { mode: 'verify', ca },
  });

  itIsProtected(server, {
    connection: secure,
    // The tablespace's backup goes over another way than pg_basebackup's.
    between: async () => {
      const place = join(newFolder(), 'space');
      mkdirSync(place, { mode: 0o700 });
      giveTo(serverUser(), place);
      await server.query(`CREATE TABLESPACE apart LOCATION '${place}'`);
      const taken = await takeAll(await openFull(secure(), context(), { label: 't', fingerprint: false }), 'full');
      expect(taken.cluster.tablespaces).toContain('apart');
    },
  });

  it('is not taken for itself without its authority, and lets nobody in without TLS', async () => {
    const full = (tls: DatabaseConnection['tls']) =>
      openFull({ ...secure(), tls }, context(), { label: 't', fingerprint: false });
    await expectCode(full({ mode: 'verify' }), 'tls_required');
    await expectCode(full(null), 'tls_required', 'authentication_failed');
  });
});
