import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../../../domain/errors.js';
import { runChild } from '../../../platform/run-child.js';
import type { Child } from '../../../platform/spawn-child.js';
import { spawnChild } from '../../../platform/spawn-child.js';
import type { DatabaseConnection } from '../../engine.js';
import { forgetSandbox, recordSandbox } from '../../shared/sandbox-state.js';
import type { Session } from '../session.js';
import { openSession, socketOf } from '../session.js';
import { sandboxSettings } from './cluster-facts.js';
import { SANDBOX_ADMIN } from './read-accounts.js';
import type { SandboxPlace } from './sandbox-place.js';
import { writeForSandbox } from './sandbox-place.js';
import { messagePlaces, pluginPlaces } from './sandbox-programs.js';
import { sandboxZone } from './system-zone.js';

/** Until the server takes logins, in milliseconds: it may have much to read after a replay. */
const START_TIMEOUT_MS = 300_000;
const STOP_GRACE_MS = 120_000;

/** A private server that is started, stopped and started again on the same data. */
export interface SandboxServer {
  readonly connection: DatabaseConnection;
  start(): Promise<void>;
  /** Orderly. */
  stop(): Promise<void>;
  /** At once; nothing of it is needed again. */
  kill(): Promise<void>;
  session(): Promise<Session>;
  /** What the server said last, for errors. */
  lastWords(): string;
}

function serverOptions(place: SandboxPlace, cluster: Readonly<Record<string, string>>): [string, string][] {
  const { base } = place.programs;
  const messages = messagePlaces(base).find((path) => existsSync(join(path, 'english')));
  const plugins = pluginPlaces(base).find(existsSync);
  const shared: [string, string][] = [
    ['basedir', base],
    ...(messages ? ([['lc-messages-dir', messages]] as [string, string][]) : []),
    ...(plugins ? ([['plugin-dir', plugins]] as [string, string][]) : []),
    ['datadir', place.data],
    ['socket', socketOf(place.socketDir)],
    ['pid-file', join(place.tmp, 'server.pid')],
    ['tmpdir', place.tmp],
    ['skip-networking', 'ON'],
    // Accounts of named hosts are to be found, although nobody comes over a network.
    ['skip-name-resolve', 'OFF'],
    ['skip-log-bin', '1'],
    // Not one of the log's: transactions of the own server are passed over, unless told otherwise.
    ['server-id', '4294967291'],
    ['replicate-same-server-id', '1'],
    ['relay-log-purge', '0'],
    ['relay-log-recovery', '0'],
    // Restored events must not run here.
    ['event-scheduler', 'OFF'],
    ['local-infile', 'OFF'],
    ['max-allowed-packet', '1G'],
    ['max-connections', '60'],
    ['log-bin-trust-function-creators', '1'],
    ['innodb-buffer-pool-size', '256M'],
    // The folder is thrown away after a crash.
    ['innodb-flush-log-at-trx-commit', '0'],
    ['innodb-doublewrite', 'OFF'],
    ['sync-relay-log', '0'],
    ['sync-relay-log-info', '0'],
  ];
  const own: [string, string][] =
    place.brand.kind === 'mysql'
      ? [
          ['mysqlx', 'OFF'],
          ['loose-auto-generate-certs', 'OFF'],
          ['loose-caching-sha2-password-auto-generate-rsa-keys', 'OFF'],
          ['loose-sha256-password-auto-generate-rsa-keys', 'OFF'],
          ['secure-file-priv', 'NULL'],
          ['gtid-mode', 'ON'],
          ['enforce-gtid-consistency', 'ON'],
          ['skip-replica-start', 'ON'],
          ['relay-log', join(place.relay, 'relay')],
          ['relay-log-index', join(place.relay, 'relay.index')],
          ['replica-parallel-workers', '4'],
          ['replica-max-allowed-packet', '1G'],
          ['innodb-redo-log-capacity', '512M'],
        ]
      : [
          ['secure-file-priv', place.tmp],
          ['gtid-strict-mode', '0'],
          // More than none crashes the server when it is told where to stop.
          ['slave-parallel-threads', '0'],
          ['skip-slave-start', 'ON'],
          ['relay-log', 'relay'],
          ['relay-log-index', 'relay.index'],
          ['slave-max-allowed-packet', '1G'],
          ['innodb-log-file-size', '512M'],
        ];
  return [...shared, ...own, ...sandboxSettings(cluster)];
}

function fail(what: string, said: string): TidemarkError {
  const lines = said.split('\n').filter((line) => /\[ERROR\]|FATAL|error:/i.test(line));
  const words = (lines.length > 0 ? lines : said.trim().split('\n')).slice(-3).join(' ').slice(0, 600);
  if (/No space left on device|errno: 28\b|disk is full/i.test(said))
    return new TidemarkError('sandbox_space', `${what}: the sandbox ran full. ${words}`);
  return new TidemarkError('sandbox_failed', `${what}: ${words || 'no reason given'}`);
}

/** Creates the data directory. Settings such as the page size hold from here on. */
async function initialize(place: SandboxPlace): Promise<void> {
  const { programs } = place;
  const result = await runChild({
    command: programs.install ?? programs.server,
    args:
      programs.install === null
        ? [`--defaults-file=${place.optionFile}`, '--initialize-insecure']
        : [
            `--defaults-file=${place.optionFile}`,
            `--basedir=${programs.base}`,
            `--datadir=${place.data}`,
            '--auth-root-authentication-method=normal',
            '--skip-test-db',
          ],
    // MariaDB's is a script that calls the programs beside it.
    env: {
      HOME: place.tmp,
      TZ: 'UTC',
      PATH: `${programs.base}/bin:${programs.base}/sbin:/usr/sbin:/usr/bin:/sbin:/bin`,
    },
    cwd: place.data,
    label: 'creating the data of a sandbox',
    timeoutMs: START_TIMEOUT_MS,
    signal: place.signal,
    ...(place.user ? { user: place.user } : {}),
  });
  if (place.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
  if (result.code !== 0) throw fail('Creating the data of the sandbox failed', result.stderr || result.stdout);
}

/** Makes a server without any account but our own administrator and the system's, and starts it. */
export async function createSandboxServer(
  place: SandboxPlace,
  cluster: Readonly<Record<string, string>>,
): Promise<SandboxServer> {
  const section = place.brand.kind === 'mysql' ? 'mysqld' : 'mariadbd';
  writeForSandbox(
    place,
    place.optionFile,
    `[${section}]\n${serverOptions(place, cluster)
      .map(([name, value]) => `${name} = "${value}"\n`)
      .join('')}`,
  );
  await initialize(place);
  // Letters and digits: it stands in a statement.
  const password = randomBytes(24).toString('hex');
  const connection: DatabaseConnection = {
    engine: place.brand.kind,
    host: place.socketDir,
    port: 3306,
    username: SANDBOX_ADMIN,
    password,
    database: 'mysql',
    tls: null,
  };
  const zone = sandboxZone(cluster);
  let child: Child | null = null;
  const options = { database: null, name: 'tidemark sandbox', signal: place.signal };
  const lastWords = () => child?.stderrTail() ?? '';
  const start = async (extra: readonly string[]) => {
    rmSync(socketOf(place.socketDir), { force: true });
    const started = spawnChild({
      command: place.programs.server,
      args: [`--defaults-file=${place.optionFile}`, ...extra],
      env: { HOME: place.tmp, TZ: zone },
      cwd: place.data,
      stdout: 'tail',
      graceMs: STOP_GRACE_MS,
      label: 'the sandbox server',
      redact: [password],
      signal: place.signal,
      ...(place.user ? { user: place.user } : {}),
    });
    child = started;
    if (started.pid !== undefined) recordSandbox(place.dir, started.pid);
    await waitForLogin(place, started, connection);
  };
  const end = async (signal: NodeJS.Signals) => {
    await child?.kill(signal);
    forgetSandbox(place.dir);
  };
  const server: SandboxServer = {
    connection,
    start: () => start([]),
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    session: () => openSession(connection, options),
    lastWords,
  };
  const initFile = join(place.dir, 'init.sql');
  const admin = `'${SANDBOX_ADMIN}'@'localhost'`;
  writeForSandbox(
    place,
    initFile,
    [
      `CREATE USER ${admin} IDENTIFIED BY '${password}';`,
      `GRANT ALL PRIVILEGES ON *.* TO ${admin} WITH GRANT OPTION;`,
      `GRANT PROXY ON ''@'' TO ${admin} WITH GRANT OPTION;`,
      '',
    ].join('\n'),
  );
  try {
    await start([`--init-file=${initFile}`]);
    return server;
  } catch (error) {
    await server.kill();
    throw error;
  } finally {
    rmSync(initFile, { force: true });
  }
}

async function waitForLogin(place: SandboxPlace, child: Child, connection: DatabaseConnection): Promise<void> {
  const until = performance.now() + START_TIMEOUT_MS;
  let ended = false;
  void child.exited.then(() => {
    ended = true;
  });
  for (;;) {
    if (place.signal.aborted) throw new TidemarkError('cancelled', 'The run was cancelled.');
    if (ended) throw fail('The sandbox server ended before it was ready', (await child.exited).stderr);
    try {
      if (existsSync(socketOf(place.socketDir))) {
        const session = await openSession(connection, {
          database: null,
          name: 'tidemark sandbox',
          signal: place.signal,
        });
        await session.close();
        return;
      }
    } catch (error) {
      // The first statements of a new server make the account.
      const early =
        isTidemarkError(error) && /^(database_unreachable|connection_lost|authentication_failed)$/.test(error.code);
      if (!early || performance.now() > until) throw error;
    }
    if (performance.now() > until) throw fail('The sandbox server does not answer', child.stderrTail());
    await sleep(100);
  }
}
