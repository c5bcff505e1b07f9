/** What an attach is told beforehand, and clusters that need more of the sandbox's host than it has. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { compareFingerprints } from '../../src/domain/fingerprint.js';
import type { DatabaseConnection } from '../../src/engines/engine.js';
import { configureIncrementals } from '../../src/engines/postgres/chain/configure-incrementals.js';
import { inspectServer } from '../../src/engines/postgres/chain/inspect-server.js';
import { openFull } from '../../src/engines/postgres/chain/open-full.js';
import { prepareLocales } from '../../src/engines/postgres/chain/sandbox-locales.js';
import { connect } from '../../src/engines/postgres/connect.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import { findFreePort } from '../../src/platform/ports.js';
import { giveTo, sandboxUser, serverUser } from '../../src/platform/run-as.js';
import { runChild } from '../../src/platform/run-child.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { describeEngine, uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { connectionTo, useContext } from './contract-support.js';
import { printOf, takeAll, useSandboxes } from './postgres-chain-support.js';

const both = { pitr: true, incremental: true };

describeEngine('pg17', 'the inspection of a PostgreSQL server', () => {
  const server = usePrivateEngine('pg17');
  const context = useContext();
  const codes = async (connection: DatabaseConnection, wish = both) =>
    Object.fromEntries((await inspectServer(connection, context(), wish)).findings.map((entry) => [entry.code, entry]));

  it('finds a usual server ready, and asks for a limit of what slots keep', async () => {
    const name = await server.createDatabase();
    const found = await inspectServer(connectionTo(server, name), context(), both);
    expect(found).toMatchObject({ role: 'primary', full: true, incremental: true, pitr: true, reason: null });
    expect(found.databases).toEqual([name, 'postgres'].sort());
    expect(found.sizeBytes).toBeGreaterThan(10_000_000);
    const limit = found.findings.find(({ code }) => code === 'slot_limit_unset')!;
    expect(limit.severity).toBe('warns');
    for (const statement of limit.statement!.split(/(?<=;) /)) await server.query(statement);
    await expect
      .poll(() => codes(connectionTo(server, name)), { timeout: 60_000 })
      .not.toHaveProperty('slot_limit_unset');
  });

  it('says which statement or line lets a role replicate, and believes only a connection', async () => {
    const role = uniqueName('tm');
    await server.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
    const connection = { ...connectionTo(server, 'postgres'), username: role, password: 'secret' };
    const before = await inspectServer(connection, context(), both);
    expect(before).toMatchObject({ full: false, incremental: false, pitr: false });
    expect(before.reason).toContain('REPLICATION');
    const finding = before.findings.find(({ code }) => code === 'physical_replication_forbidden')!;
    await server.query(finding.statement!);
    expect(await inspectServer(connection, context(), both)).toMatchObject({ full: true, pitr: true, reason: null });
    const hba = join(server.engineDataDir, 'pg_hba.conf');
    const lines = readFileSync(hba, 'utf8');
    writeFileSync(hba, `host replication ${role} 127.0.0.1/32 reject\n${lines}`);
    await server.query('SELECT pg_reload_conf()');
    await expect
      .poll(async () => (await codes(connection)).physical_replication_forbidden?.statement, { timeout: 60_000 })
      .toBe(`host replication "${role}" 127.0.0.1/32 scram-sha-256`);
    writeFileSync(hba, lines);
    await server.query('SELECT pg_reload_conf()');
  });

  it('warns of what a recovery leaves empty, and says when incrementals become fulls', async () => {
    const name = await server.createDatabase();
    await server.query('CREATE UNLOGGED TABLE lost (a int)', name);
    await server.query('ALTER SYSTEM SET summarize_wal = off');
    await server.query('SELECT pg_reload_conf()');
    await expect
      .poll(() => codes(connectionTo(server, 'postgres')), { timeout: 60_000 })
      .toHaveProperty('summarize_wal_off');
    const found = await inspectServer(connectionTo(server, 'postgres'), context(), both);
    expect(found).toMatchObject({ full: true, incremental: false, pitr: true });
    expect(found.findings.find(({ code }) => code === 'unlogged_tables')?.message).toContain(`${name}: lost`);
  });

  it('turns on WAL summaries where the role may, and names the statement where it may not', async () => {
    const role = uniqueName('role');
    await server.query(`CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'Secret-1'`);
    const connection = { ...connectionTo(server, 'postgres'), username: role, password: 'Secret-1' };
    const statement = 'ALTER SYSTEM SET summarize_wal = on; SELECT pg_catalog.pg_reload_conf();';
    expect(await configureIncrementals(connection, context())).toMatchObject([
      { code: 'summarize_wal_off', severity: 'info', statement },
    ]);
    expect(await server.query('SHOW summarize_wal')).toEqual([{ summarize_wal: 'off' }]);
    await server.query(`GRANT ALTER SYSTEM ON PARAMETER summarize_wal TO ${role}`);
    await server.query(`GRANT EXECUTE ON FUNCTION pg_reload_conf() TO ${role}`);
    expect(await configureIncrementals(connection, context())).toMatchObject([{ code: 'summarize_wal_turned_on' }]);
    expect(await server.query('SHOW summarize_wal')).toEqual([{ summarize_wal: 'on' }]);
    expect(await configureIncrementals(connection, context())).toEqual([]);
  });

  it('names the managed service that forbids replication, and what remains possible there', async () => {
    const role = uniqueName('role');
    await server.query(`CREATE ROLE ${role} LOGIN PASSWORD 'Secret-1'`);
    await server.query('CREATE ROLE rdsadmin');
    const connection = { ...connectionTo(server, 'postgres'), username: role, password: 'Secret-1' };
    const found = await inspectServer(connection, context(), both);
    expect(found).toMatchObject({ full: false, incremental: false, pitr: false });
    expect(found.reason).toMatch(/^Amazon RDS allows no physical replication: .*protect the database by a plan\.$/s);
    // Nothing that its users could run would mend it.
    expect(found.reason).not.toContain('Run:');
    expect(found.findings).toMatchObject(
      expect.arrayContaining([expect.objectContaining({ code: 'physical_replication_forbidden', statement: null })]),
    );
    await server.query('DROP ROLE rdsadmin');
  });
});

describeEngine('pg17', 'a cluster of en_US.UTF-8 with extensions', () => {
  const context = useContext();
  const sandboxes = useSandboxes(context);
  const bin = () => engineBinDir('pg17', engineRoot('pg17', loadConfig().install) ?? '');
  let dir = '';
  let child: Child | undefined;
  let connection: DatabaseConnection;

  beforeAll(async () => {
    // The host may lack the locale: the source gets it in its own way, and the sandbox has to find one.
    dir = mkdtempSync(join(tmpdir(), 'us-'));
    chmodSync(dir, 0o711);
    const user = serverUser();
    const run = async (command: string, args: readonly string[], asUser: boolean) => {
      const result = await runChild({
        command,
        args,
        env: { LOCPATH: join(dir, 'l') },
        label: command,
        ...(asUser && user ? { user } : {}),
      });
      expect(result.stderr === '' || result.code === 0 || result.code === 1).toBe(true);
      return result;
    };
    mkdirSync(join(dir, 'l'));
    await run('localedef', ['--no-archive', '-i', 'en_US', '-f', 'UTF-8', join(dir, 'l/en_US.UTF-8')], false);
    for (const name of ['d', 's']) {
      mkdirSync(join(dir, name), { mode: 0o700 });
      giveTo(user, join(dir, name));
    }
    const port = await findFreePort();
    const made = await run(
      join(bin(), 'initdb'),
      ['-D', join(dir, 'd'), '-U', 'boss', '--auth=trust', '--locale=en_US.UTF-8', '--no-sync'],
      true,
    );
    expect(made.stderr).not.toContain('error');
    child = spawnChild({
      command: join(bin(), 'postgres'),
      args: [
        '-D',
        join(dir, 'd'),
        '-p',
        String(port),
        '-c',
        'listen_addresses=127.0.0.1',
        '-c',
        `unix_socket_directories=${join(dir, 's')}`,
      ],
      env: { LOCPATH: join(dir, 'l') },
      stdout: 'ignore',
      stopSignal: 'SIGQUIT',
      label: 'postgres',
      ...(user ? { user } : {}),
    });
    connection = {
      engine: 'postgresql',
      host: '127.0.0.1',
      port,
      username: 'boss',
      password: 'x',
      database: 'postgres',
      tls: null,
    };
    const session = await until(
      () => connect(connection, { signal: new AbortController().signal, applicationName: 'test' }).catch(() => null),
      'the cluster',
    );
    for (const statement of [
      'CREATE EXTENSION hstore',
      'CREATE EXTENSION pg_trgm',
      'CREATE TABLE tags (name text PRIMARY KEY, more hstore)',
      "INSERT INTO tags SELECT name, hstore('k', name) FROM unnest(ARRAY['Zebra', 'apple', 'Äpfel', 'banana']) name",
      'CREATE INDEX ON tags USING gin (name gin_trgm_ops)',
    ])
      await session.run(statement);
    await session.close();
  });
  afterAll(async () => {
    await child?.kill();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  it('is found ready, and opens in a sandbox on a host without the locale, equal to the source', async () => {
    const found = await inspectServer(connection, context(), { pitr: false, incremental: false });
    expect(found).toMatchObject({ full: true, reason: null });
    const full = await takeAll(await openFull(connection, context(), { label: 'us', fingerprint: false }), 'full');
    expect(full.cluster).toMatchObject({ superuser: 'boss', locales: expect.stringContaining('en_US.UTF-8') });
    const sandbox = await sandboxes.open([full]);
    expect(
      compareFingerprints(await printOf(connection, context()), await printOf(sandbox.connection, context())),
    ).toEqual([]);
    await sandbox.close();
  });

  it('is refused where the locale cannot be made', async () => {
    const place = mkdtempSync(join(tmpdir(), 'lo-'));
    giveTo(sandboxUser(), place);
    const { missing } = await prepareLocales(['C', 'en_US.UTF-8', 'xx_XX.UTF-8'], {
      postgres: join(bin(), 'postgres'),
      dir: place,
      user: sandboxUser(),
      signal: new AbortController().signal,
    });
    expect(missing).toEqual(['xx_XX.UTF-8']);
    rmSync(place, { recursive: true, force: true });
  });
});
