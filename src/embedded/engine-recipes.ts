/** How each engine's data is created and its server started, in the foreground. */
import { appendFileSync, chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { Client } from 'pg';
import type { EngineKind } from '../domain/engine-kinds.js';
import { TidemarkError } from '../domain/errors.js';
import type { EngineProduct } from '../platform/installed.js';
import { engineBinDir, engineProductTitles } from '../platform/installed.js';
import type { RunAsUser } from '../platform/run-as.js';
import { giveTo } from '../platform/run-as.js';
import type { RunChildOptions } from '../platform/run-child.js';
import { runChild } from '../platform/run-child.js';

export type ServerLayout = {
  readonly product: EngineProduct;
  /** Root of the installed product. */
  readonly root: string;
  /** The engine's own data directory. */
  readonly data: string;
  /** Folder for option files; entered by the server's user. */
  readonly base: string;
  readonly socketDir: string;
  readonly port: number;
  readonly adminPassword: string;
  /** MySQL, MariaDB: server-id. */
  readonly serverId: number;
  readonly user: RunAsUser | undefined;
  /** False: what was committed survives the death of the server, not that of the machine. */
  readonly durable: boolean;
  readonly locale: string;
  readonly initdbArgs: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
};

export type EngineRecipe = {
  readonly kind: EngineKind;
  readonly adminUser: string;
  /** Orderly and quick. */
  readonly stopSignal: NodeJS.Signals;
  /** Creates the data directory at `layout.data`, which is there, empty and the server user's. */
  initialize(layout: ServerLayout): Promise<void>;
  /** Program and arguments; `first` on the first start after `initialize`. */
  command(layout: ServerLayout, first: boolean): { command: string; args: string[] };
  /** Logs in as admin; throws while that does not work. */
  login(layout: ServerLayout): Promise<void>;
};

const MEMORY_PG = { shared_buffers: '64MB', max_connections: '100' };

const postgres: EngineRecipe = {
  kind: 'postgresql',
  adminUser: 'postgres',
  stopSignal: 'SIGINT',
  async initialize(layout) {
    const passwordFile = join(layout.base, 'initdb.pw');
    writeFileSync(passwordFile, `${layout.adminPassword}\n`, { mode: 0o600 });
    giveTo(layout.user, passwordFile);
    try {
      await runStep(layout, join(engineBinDir(layout.product, layout.root), 'initdb'), [
        '-D',
        layout.data,
        '-U',
        'postgres',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        `--locale=${layout.locale}`,
        ...(layout.durable ? [] : ['--no-sync']),
        ...layout.initdbArgs,
      ]);
      appendFileSync(join(layout.data, 'postgresql.conf'), "\ninclude_if_exists = 'tidemark.conf'\n");
    } finally {
      rmSync(passwordFile, { force: true });
    }
  },
  command(layout) {
    const settings: Record<string, string> = {
      ...MEMORY_PG,
      wal_level: 'logical',
      max_wal_senders: '20',
      max_replication_slots: '20',
      ...(layout.product === 'pg15' ? {} : { summarize_wal: 'on' }),
      ...(layout.durable ? {} : { fsync: 'off', full_page_writes: 'off' }),
      ...layout.settings,
    };
    // A file, not arguments: what stands on the command line could not be changed by ALTER SYSTEM.
    writeFileSync(
      join(layout.data, 'tidemark.conf'),
      Object.entries(settings)
        .map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`)
        .join(''),
    );
    giveTo(layout.user, join(layout.data, 'tidemark.conf'));
    return {
      command: join(engineBinDir(layout.product, layout.root), 'postgres'),
      args: [
        '-D',
        layout.data,
        '-p',
        String(layout.port),
        '-c',
        'listen_addresses=127.0.0.1',
        '-c',
        // The default belongs to the host's package.
        `unix_socket_directories=${layout.socketDir}`,
      ],
    };
  },
  async login(layout) {
    const client = new Client({
      host: '127.0.0.1',
      port: layout.port,
      user: 'postgres',
      password: layout.adminPassword,
      database: 'postgres',
      connectionTimeoutMillis: 5_000,
    });
    // A server that goes away while we say good-bye must not end the service.
    client.on('error', () => {});
    try {
      await client.connect();
      await client.query('SELECT 1');
    } finally {
      await client.end().catch(() => {});
    }
  },
};

async function loginMysql(layout: ServerLayout): Promise<void> {
  const connection = await createConnection({
    host: '127.0.0.1',
    port: layout.port,
    user: 'root',
    password: layout.adminPassword,
    connectTimeout: 5_000,
  });
  connection.on('error', () => {});
  try {
    await connection.query('SELECT 1');
  } finally {
    connection.destroy();
  }
}

function writeOptionFile(layout: ServerLayout, section: string, settings: Record<string, string>): string {
  const path = join(layout.base, 'server.cnf');
  const lines = Object.entries({ ...settings, ...layout.settings }).map(([name, value]) => `${name}=${value}`);
  writeFileSync(path, `[${section}]\n${lines.join('\n')}\n`);
  // Read by the server's user, whatever root's umask is; it holds no secret.
  chmodSync(path, 0o644);
  return path;
}

/**
 * Runs once, at the first start: root gets its password and may come over TCP from this host. Not binlogged: a replica or a
 * replay must not change accounts by it. One statement per line, as init-file wants.
 */
function writeInitFile(layout: ServerLayout): string {
  const path = join(layout.base, 'first-start.sql');
  const password = `'${layout.adminPassword}'`;
  writeFileSync(
    path,
    [
      'SET sql_log_bin = 0;',
      `ALTER USER 'root'@'localhost' IDENTIFIED BY ${password};`,
      `CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY ${password};`,
      `ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY ${password};`,
      "GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;",
      '',
    ].join('\n'),
    { mode: 0o600 },
  );
  giveTo(layout.user, path);
  return path;
}

/** Servers remove what looks like temporary tables of a crash when they start: in a shared /tmp they remove each other's. */
function ownTempDir(layout: ServerLayout): string {
  const path = join(layout.base, 'tmp');
  mkdirSync(path, { recursive: true, mode: 0o700 });
  giveTo(layout.user, path);
  return path;
}

function mysqlFamilySettings(layout: ServerLayout): Record<string, string> {
  return {
    datadir: layout.data,
    port: String(layout.port),
    'bind-address': '127.0.0.1',
    socket: join(layout.socketDir, 'mysql.sock'),
    'pid-file': 'server.pid',
    tmpdir: ownTempDir(layout),
    'skip-name-resolve': 'ON',
    'server-id': String(layout.serverId),
    // Relative to the data directory, which is renamed after it was made.
    'log-bin': 'binlog',
    'binlog-row-metadata': 'FULL',
    'character-set-server': 'utf8mb4',
    'innodb-buffer-pool-size': '96M',
    ...(layout.durable
      ? {}
      : { 'innodb-flush-log-at-trx-commit': '2', 'sync-binlog': '0', 'innodb-doublewrite': 'OFF' }),
  };
}

const mysql: EngineRecipe = {
  kind: 'mysql',
  adminUser: 'root',
  stopSignal: 'SIGTERM',
  async initialize(layout) {
    await runStep(layout, join(layout.root, 'usr/sbin/mysqld'), [
      `--defaults-file=${mysqlOptionFile(layout)}`,
      '--initialize-insecure',
    ]);
  },
  command(layout, first) {
    const init = first ? [`--init-file=${writeInitFile(layout)}`] : [];
    return {
      command: join(layout.root, 'usr/sbin/mysqld'),
      args: [`--defaults-file=${mysqlOptionFile(layout)}`, ...init],
    };
  },
  login: loginMysql,
};

function mysqlOptionFile(layout: ServerLayout): string {
  const usr = join(layout.root, 'usr');
  return writeOptionFile(layout, 'mysqld', {
    basedir: usr,
    'lc-messages-dir': join(usr, 'share/mysql'),
    'plugin-dir': join(usr, 'lib/mysql/plugin'),
    mysqlx: 'OFF',
    // Its default directory does not exist here, and the server then does not start.
    'secure-file-priv': '',
    'gtid-mode': 'ON',
    'enforce-gtid-consistency': 'ON',
    ...mysqlFamilySettings(layout),
  });
}

const mariadb: EngineRecipe = {
  kind: 'mariadb',
  adminUser: 'root',
  stopSignal: 'SIGTERM',
  async initialize(layout) {
    const usr = join(layout.root, 'usr');
    await runStep(
      layout,
      join(usr, 'bin/mariadb-install-db'),
      [
        `--defaults-file=${mariadbOptionFile(layout)}`,
        `--basedir=${usr}`,
        `--datadir=${layout.data}`,
        '--auth-root-authentication-method=normal',
        '--skip-test-db',
      ],
      // A shell script that calls the programs beside it.
      { PATH: `${usr}/bin:${usr}/sbin:/usr/sbin:/usr/bin:/sbin:/bin` },
    );
  },
  command(layout, first) {
    const init = first ? [`--init-file=${writeInitFile(layout)}`] : [];
    return {
      command: join(layout.root, 'usr/sbin/mariadbd'),
      args: [`--defaults-file=${mariadbOptionFile(layout)}`, ...init],
    };
  },
  login: loginMysql,
};

function mariadbOptionFile(layout: ServerLayout): string {
  const usr = join(layout.root, 'usr');
  return writeOptionFile(layout, 'mariadbd', {
    basedir: usr,
    // 11.8 has the one, 10.11 the other.
    'lc-messages-dir': existsSync(join(usr, 'share/mariadb')) ? join(usr, 'share/mariadb') : join(usr, 'share/mysql'),
    'plugin-dir': join(usr, 'lib/mysql/plugin'),
    'binlog-format': 'ROW',
    'gtid-strict-mode': 'ON',
    ...mysqlFamilySettings(layout),
  });
}

export const engineRecipes: Record<EngineProduct, EngineRecipe> = {
  pg15: postgres,
  pg17: postgres,
  pg18: postgres,
  mysql,
  mariadb,
  mariadb1011: mariadb,
};

/** Creates the (empty) data directory and fills it; a half-made one of an interrupted run is thrown away first. */
export async function initializeData(layout: ServerLayout): Promise<void> {
  rmSync(layout.data, { recursive: true, force: true });
  mkdirSync(layout.data, { mode: 0o700 });
  giveTo(layout.user, layout.data);
  await engineRecipes[layout.product].initialize(layout);
}

async function runStep(
  layout: ServerLayout,
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<void> {
  const options: RunChildOptions = {
    command,
    args,
    env: { ...env, HOME: layout.base },
    cwd: layout.base,
    label: `creating the data of ${engineProductTitles[layout.product]}`,
    timeoutMs: 120_000,
    redact: [layout.adminPassword],
    ...(layout.user ? { user: layout.user } : {}),
  };
  const result = await runChild(options);
  if (result.code === 0) return;
  const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join(' | ');
  throw new TidemarkError(
    'component_failed',
    `${options.label} in ${layout.base} failed (exit ${result.code ?? result.signal}): ${said}`,
  );
}
