/** A streaming standby of a private test server, which a test may cut off and promote; and a server recovered from a copy and log files. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { ownEnvironment } from '../../src/config.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import { findFreePort } from '../../src/platform/ports.js';
import { giveTo, serverUser } from '../../src/platform/run-as.js';
import { runChild } from '../../src/platform/run-child.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import type { EngineAddress } from './engine-servers.js';
import { until } from './until.js';

export type PostgresCopy = {
  readonly port: number;
  readonly dataDir: string;
  start(): Promise<void>;
  query<Row = Record<string, unknown>>(sql: string): Promise<Row[]>;
  /** Recovers the copy to the end of the log files in a folder and leaves it promoted. */
  recover(logDir: string): Promise<void>;
  /** What the copy's server said, for the message of an expectation. */
  said(): string;
  /** SIGKILL; the data stays. */
  kill(): Promise<void>;
  remove(): Promise<void>;
};

/** Copies a server with pg_basebackup. `standby: true`: started, it streams from the server and stays in recovery. */
export async function copyPostgres(
  server: EngineAddress,
  options: { readonly standby: boolean },
): Promise<PostgresCopy> {
  const root = engineRoot(server.product, ownEnvironment());
  if (root === null) throw new Error(`${server.product} is not installed`);
  const bin = engineBinDir(server.product, root);
  const user = serverUser();
  const base = mkdtempSync(join(dirname(inject('engineKeeper')), 'copy-'));
  chmodSync(base, 0o711);
  const dataDir = join(base, 'data');
  mkdirSync(dataDir, { mode: 0o700 });
  giveTo(user, dataDir);
  const copied = await runChild({
    command: join(bin, 'pg_basebackup'),
    args: [
      '-D',
      dataDir,
      '-c',
      'fast',
      '--no-sync',
      '-X',
      options.standby ? 'stream' : 'none',
      ...(options.standby ? ['-R'] : []),
    ],
    env: {
      PGHOST: server.host,
      PGPORT: String(server.port),
      PGUSER: server.adminUser,
      PGPASSWORD: server.adminPassword,
    },
    label: 'pg_basebackup of a test',
    ...(user ? { user } : {}),
  });
  if (copied.code !== 0) throw new Error(copied.stderr);
  const port = await findFreePort();
  const logFile = join(base, 'server.log');
  let child: Child | null = null;
  const query = async <Row>(sql: string): Promise<Row[]> => {
    const { host, adminUser, adminPassword } = server;
    const client = new pg.Client({ host, port, user: adminUser, password: adminPassword, database: 'postgres' });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query(sql)).rows as Row[];
    } finally {
      await client.end();
    }
  };
  const kill = async () => {
    await child?.kill('SIGKILL');
    child = null;
  };
  const start = async (settings: Readonly<Record<string, string>> = {}) => {
    const all = { listen_addresses: '127.0.0.1', unix_socket_directories: '', fsync: 'off', ...settings };
    child = spawnChild({
      command: join(bin, 'postgres'),
      args: [
        '-D',
        dataDir,
        '-p',
        String(port),
        ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      env: {},
      logFile,
      label: 'postgres of a test',
      ...(user ? { user } : {}),
    });
    const started = child;
    let over = false;
    void started.exited.then(() => {
      over = true;
    });
    await until(
      () => {
        if (over) throw new Error(`the copy ended: ${started.stderrTail()}`);
        return query('SELECT 1').then(
          () => true,
          () => false,
        );
      },
      `the copy to start, see ${logFile}`,
      60_000,
    );
  };
  return {
    port,
    dataDir,
    query,
    kill,
    start: () => start(),
    recover: async (logDir) => {
      writeFileSync(join(dataDir, 'recovery.signal'), '');
      giveTo(user, join(dataDir, 'recovery.signal'));
      await start({ restore_command: `cp ${logDir}/%f %p` });
      await until(
        async () => (await query<{ done: boolean }>('SELECT NOT pg_is_in_recovery() AS done'))[0]?.done,
        `the end of recovery, see ${logFile}`,
        60_000,
      );
    },
    said: () => readFileSync(logFile, 'utf8'),
    remove: async () => {
      await kill();
      rmSync(base, { recursive: true, force: true });
    },
  };
}

/** A folder that the servers' user may read, with files of a store in it; a cut log file is filled up with zeros, as recovery wants it. */
export function logFolderFor(
  copy: PostgresCopy,
  files: readonly { readonly name: string; readonly content: Buffer }[],
): string {
  const dir = join(dirname(copy.dataDir), 'log');
  mkdirSync(dir, { mode: 0o755 });
  for (const { name, content } of files) {
    const whole = /^[0-9A-F]{24}$/.test(name)
      ? Buffer.concat([content, Buffer.alloc(16 * 1024 * 1024 - content.length)])
      : content;
    writeFileSync(join(dir, name), whole, { mode: 0o644 });
  }
  return dir;
}
