/** The peer of physical backups: pgBackRest against the same server and the same store. */
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { EngineServer } from '../src/embedded/engine-server.js';
import { engineBinDir, engineRoot, enginesRoot } from '../src/platform/installed.js';
import { giveTo, serverUser } from '../src/platform/run-as.js';
import type { TlsStore } from './tls-store.js';

const STANZA = 'bench';

export type PeerRun = { readonly wallMs: number };

export type PgBackRest = {
  readonly version: string;
  full(): Promise<PeerRun & { storedBytes: number }>;
  incremental(): Promise<PeerRun & { storedBytes: number }>;
  /** Restores the newest backup, or the newest full, and starts a server on it; answers when that has answered a query. */
  restore(target: 'latest' | 'end_of_full', check: string): Promise<PeerRun & { fetchMs: number }>;
};

/** What `archive_command` must call; usable before the stanza is there: until then segments are let go. */
export function archiveCommand(dir: string): string {
  return `test ! -e ${join(dir, 'ready')} || ${program()} --config=${join(dir, 'pgbackrest.conf')} --stanza=${STANZA} archive-push %p`;
}

function program(): string {
  return join(enginesRoot(process.env), 'pgbackrest/usr/bin/pgbackrest');
}

/** `dir`: for configuration, locks and logs, entered by the server's user. The server runs with `archiveCommand(dir)`. */
export async function preparePgBackRest(
  server: EngineServer,
  store: TlsStore,
  bucket: string,
  dir: string,
): Promise<PgBackRest> {
  const user = serverUser();
  const config = join(dir, 'pgbackrest.conf');
  for (const name of ['lock', 'log', 'spool']) {
    mkdirSync(join(dir, name), { recursive: true });
    giveTo(user, join(dir, name));
    chmodSync(join(dir, name), 0o777);
  }
  const { port } = new URL(store.endpoint);
  const lines = [
    '[global]',
    'repo1-type=s3',
    'repo1-path=/repo',
    `repo1-s3-bucket=${bucket}`,
    'repo1-s3-endpoint=127.0.0.1',
    'repo1-s3-region=us-east-1',
    'repo1-s3-uri-style=path',
    `repo1-s3-key=${store.accessKeyId}`,
    `repo1-s3-key-secret=${store.secretAccessKey}`,
    'repo1-storage-host=127.0.0.1',
    `repo1-storage-port=${port}`,
    `repo1-storage-ca-file=${store.certFile}`,
    'repo1-cipher-type=aes-256-cbc',
    'repo1-cipher-pass=not-a-secret-of-anybody',
    // As its authors advise for speed; without blocks an incremental copies each file in which one page changed.
    'repo1-bundle=y',
    'repo1-block=y',
    'repo1-retention-full=100',
    'process-max=2',
    'compress-type=zst',
    'compress-level=3',
    'start-fast=y',
    'allow-root=y',
    `lock-path=${join(dir, 'lock')}`,
    `log-path=${join(dir, 'log')}`,
    `spool-path=${join(dir, 'spool')}`,
    'log-level-console=error',
    'log-level-file=off',
    `[${STANZA}]`,
    `pg1-path=${server.engineDataDir}`,
    `pg1-port=${server.port}`,
    `pg1-socket-path=${server.socketDir}`,
    `pg1-user=${server.adminUser}`,
    'pg1-database=postgres',
  ];
  writeFileSync(config, `${lines.join('\n')}\n`, { mode: 0o600 });
  giveTo(user, config);
  const run = async (...args: string[]) => {
    const started = performance.now();
    const child = spawn(program(), [`--config=${config}`, `--stanza=${STANZA}`, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, PGPASSWORD: server.adminPassword },
    });
    const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    if ((await exited) !== 0) throw new Error(`pgbackrest ${args.join(' ')} failed: ${errors}${output}`);
    return { wallMs: performance.now() - started, output };
  };
  const newest = async (type: 'full' | 'incr') => {
    const { output } = await run('--output=json', 'info');
    const [{ backup }] = JSON.parse(output) as [
      { backup: { label: string; type: string; info: { repository: { delta: number } } }[] },
    ];
    const found = backup.filter((one) => one.type === type).at(-1);
    if (found === undefined) throw new Error(`pgBackRest has no backup of type ${type}`);
    return found;
  };
  const backUp = async (type: 'full' | 'incr') => {
    const { wallMs } = await run(`--type=${type}`, 'backup');
    return { wallMs, storedBytes: (await newest(type)).info.repository.delta };
  };
  await run('stanza-create');
  writeFileSync(join(dir, 'ready'), '');
  return {
    version: execFileSync(program(), ['version'], { encoding: 'utf8' }).trim().replace(/^\D+/, ''),
    full: () => backUp('full'),
    incremental: () => backUp('incr'),
    restore: async (target, check) => {
      const data = join(dir, 'restored');
      rmSync(data, { recursive: true, force: true });
      mkdirSync(data, { mode: 0o700 });
      giveTo(user, data);
      const started = performance.now();
      const which = target === 'latest' ? [] : [`--set=${(await newest('full')).label}`, '--type=immediate'];
      const before = performance.now() - started;
      const { wallMs: fetchMs } = await run(
        `--pg1-path=${data}`,
        ...which,
        ...(target === 'latest' ? [] : ['--target-action=promote']),
        'restore',
      );
      const answeredAt = await openRestored(server, data, dir, check);
      rmSync(data, { recursive: true, force: true });
      // Which backup is the newest full is a question of the bench.
      return { wallMs: answeredAt - started - before, fetchMs };
    },
  };
}

/** Starts a server with the same settings that a sandbox of ours has, as far as they make it faster, and waits for its first answer. */
async function openRestored(server: EngineServer, data: string, dir: string, check: string): Promise<number> {
  const root = engineRoot(server.product, process.env);
  const user = serverUser();
  const socketDir = join(dir, 's');
  mkdirSync(socketDir, { recursive: true });
  giveTo(user, socketDir);
  const settings = {
    listen_addresses: '',
    port: '5432',
    unix_socket_directories: socketDir,
    fsync: 'off',
    full_page_writes: 'off',
    synchronous_commit: 'off',
    autovacuum: 'off',
    shared_buffers: '128MB',
    checkpoint_timeout: '30min',
    hot_standby: 'off',
    archive_mode: 'off',
    summarize_wal: 'off',
    jit: 'off',
  };
  const log = join(dir, 'restored.log');
  const child = spawn(
    'setpriv',
    [
      ...[
        '--pdeathsig',
        'KILL',
        ...(user ? [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'] : []),
        '--',
      ],
      ...[join(engineBinDir(server.product, root ?? ''), 'postgres'), '-D', data],
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], cwd: data, env: { PATH: process.env.PATH } },
  );
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    writeFileSync(log, said);
  });
  let ended = false;
  const exited = new Promise<void>((resolve) =>
    child.once('close', () => {
      ended = true;
      resolve();
    }),
  );
  try {
    const client = await untilOpen(server, socketDir, () => {
      if (ended) throw new Error(`the restored server ended: ${readFileSync(log, 'utf8').slice(-2000)}`);
    });
    const answeredAt = performance.now();
    const { rows } = await client.query('SELECT sum(changed)::text AS found FROM progress');
    if (rows[0]?.found !== check) throw new Error(`pgBackRest's server holds ${rows[0]?.found}, not ${check}`);
    await client.end();
    return answeredAt;
  } finally {
    child.kill('SIGQUIT');
    await exited;
  }
}

async function untilOpen(server: EngineServer, socketDir: string, assertAlive: () => void): Promise<pg.Client> {
  for (;;) {
    assertAlive();
    const client = new pg.Client({
      ...{ host: socketDir, port: 5432, user: server.adminUser, password: server.adminPassword, database: 'bench' },
    });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query('SELECT pg_is_in_recovery() AS recovering');
      if (rows[0]?.recovering === false) return client;
      await client.end();
    } catch {
      // It is not there yet, or still recovering.
    }
    await sleep(20);
  }
}
