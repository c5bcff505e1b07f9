/** Physical backups in tests: taken into memory, given back to a sandbox, and a log archived by plain pg_receivewal. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll } from 'vitest';
import { loadConfig } from '../../src/config.js';
import type { Fingerprint } from '../../src/domain/fingerprint.js';
import type {
  FetchedOptions,
  ParentBackup,
  RecoverableBackup,
  Sandbox,
  ServerBackupResult,
  ServerBackupSession,
} from '../../src/engines/chain-engine.js';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { DatabaseConnection, EngineContext } from '../../src/engines/engine.js';
import { openFull } from '../../src/engines/postgres/chain/open-full.js';
import { openIncremental } from '../../src/engines/postgres/chain/open-incremental.js';
import { getEngine } from '../../src/engines/registry.js';
import { engineBinDir, engineRoot } from '../../src/platform/installed.js';
import type { Child } from '../../src/platform/spawn-child.js';
import { spawnChild } from '../../src/platform/spawn-child.js';
import { packFrames } from '../../src/storage/pack-frames.js';
import type { TestEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { connectionTo } from './contract-support.js';

export type TakenBackup = RecoverableBackup & {
  readonly server: ServerBackupSession['server'];
  readonly databases: readonly string[];
  readonly result: ServerBackupResult;
  readonly parent: ParentBackup;
};

let count = 0;

/** Reads a session to its end, as a backup's activity does. */
export async function takeAll(
  session: ServerBackupSession,
  kind: 'full' | 'incremental',
  during: () => Promise<void> = async () => {},
): Promise<TakenBackup> {
  try {
    const contents: { name: string; content: Buffer }[] = [];
    for (const part of session.parts) {
      const { stdout, done } = part.start();
      await during();
      const [content] = await Promise.all([buffer(stdout), done]);
      contents.push({ name: part.name, content });
    }
    const result = await session.finish();
    for (const { name, body } of result.sidecars) contents.push({ name, content: body });
    count++;
    const common = {
      backupId: `bak_${count}`,
      startPosition: result.startPosition,
      endPosition: result.endPosition,
      server: session.server,
    };
    const parts = contents.map(({ name, content }) => ({
      name,
      open: async () => Readable.from(pieces(content), { objectMode: false }),
      openPacked: async () => Readable.from(packFrames(Readable.from(pieces(content)))),
    }));
    return {
      ...common,
      kind,
      cluster: result.cluster,
      databases: session.databases,
      result,
      parts,
      parent: {
        ...common,
        open: async (name) => {
          const found = contents.find((entry) => entry.name === name);
          if (!found) throw new Error(`no ${name}`);
          return found.content;
        },
      },
    };
  } finally {
    await session.close();
  }
}

function* pieces(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; at += 1_000_003) yield content.subarray(at, at + 1_000_003);
}

export const takeFull = async (server: TestEngine, context: EngineContext): Promise<TakenBackup> =>
  takeAll(await openFull(connectionTo(server, 'postgres'), context, { label: 'test', fingerprint: false }), 'full');

export const takeIncremental = async (
  server: TestEngine,
  context: EngineContext,
  on: TakenBackup,
): Promise<TakenBackup> =>
  takeAll(
    await openIncremental(connectionTo(server, 'postgres'), context, { label: 'test', parent: on.parent }),
    'incremental',
  );

/** Sandboxes that end with the test file, and folders that go with them. */
export function useSandboxes(context: () => EngineContext): {
  open(
    backups: readonly TakenBackup[],
    options?: Partial<Pick<FetchedOptions, 'target' | 'logDir' | 'logFiles' | 'logEnd' | 'onPhase' | 'dir'>>,
  ): Promise<Sandbox>;
  folder(): string;
} {
  const opened: Sandbox[] = [];
  const folders: string[] = [];
  const folder = () => {
    const dir = mkdtempSync(join(tmpdir(), 'sb-'));
    chmodSync(dir, 0o711);
    folders.push(dir);
    return dir;
  };
  afterAll(async () => {
    for (const sandbox of opened) await sandbox.close();
    for (const dir of folders) rmSync(dir, { recursive: true, force: true });
  });
  return {
    folder,
    async open(backups, options = {}) {
      const [first] = backups;
      if (!first) throw new Error('no backup');
      const sandbox = await getChainEngine(first.server.engine).recover(context(), {
        dir: folder(),
        server: first.server,
        backups,
        logDir: '',
        logFiles: [],
        logEnd: null,
        target: { kind: 'end_of_backup' },
        onPhase: () => {},
        ...options,
      });
      opened.push(sandbox);
      return sandbox;
    },
  };
}

/** What a database holds, by the way a restore reads it: a dump's fingerprint. */
export async function printOf(connection: DatabaseConnection, context: EngineContext): Promise<Fingerprint> {
  const session = await getEngine(connection.engine).openDump(connection, context, { fingerprint: true });
  try {
    const print = session.fingerprint();
    print.catch(() => {});
    for (const part of session.parts) {
      const { stdout, done } = part.start();
      await Promise.all([buffer(stdout), done]);
    }
    return await print;
  } finally {
    await session.close();
  }
}

export type StoredLog = Pick<FetchedOptions, 'logDir' | 'logFiles' | 'logEnd'>;

/** Archives the server's log by pg_receivewal until the file ends. */
export function useReceiver(server: TestEngine): {
  start(): Promise<void>;
  /** Everything up to the server's present end, as a store gives it back: the newest file is cut where the log ends. */
  collect(): Promise<StoredLog & { logEnd: NonNullable<FetchedOptions['logEnd']> }>;
} {
  let dir = '';
  let child: Child | null = null;
  const copies: string[] = [];
  afterAll(async () => {
    await child?.kill();
    for (const folder of [dir, ...copies]) if (folder) rmSync(folder, { recursive: true, force: true });
  });
  return {
    async start() {
      const root = engineRoot(server.product as 'pg17', loadConfig().install);
      if (root === null) throw new Error('not installed');
      dir = mkdtempSync(join(tmpdir(), 'wal-'));
      child = spawnChild({
        command: join(engineBinDir(server.product as 'pg17', root), 'pg_receivewal'),
        args: ['-D', dir, '--no-password', '--status-interval=1'],
        env: {
          PGHOST: server.host,
          PGPORT: String(server.port),
          PGUSER: server.adminUser,
          PGPASSWORD: server.adminPassword,
          LC_ALL: 'C',
        },
        stdout: 'ignore',
        label: 'pg_receivewal',
      });
      await until(() => readdirSync(dir).length > 0, 'the first file of pg_receivewal');
    },
    async collect() {
      const [row] = await server.query<{ lsn: string; file: string; offset: number; timeline: number }>(
        `SELECT lsn::text, f.file_name AS file, f.file_offset AS offset, timeline_id AS timeline
         FROM (SELECT pg_current_wal_flush_lsn() AS lsn) l, pg_walfile_name_offset(l.lsn) f, pg_control_checkpoint()`,
      );
      if (!row) throw new Error('no position');
      await until(async () => {
        const [state] = await server.query<{ done: boolean }>(
          `SELECT bool_or(write_lsn >= '${row.lsn}') AS done FROM pg_stat_replication WHERE application_name = 'pg_receivewal'`,
        );
        return state?.done === true;
      }, `pg_receivewal to reach ${row.lsn}`);
      const logDir = mkdtempSync(join(tmpdir(), 'log-'));
      chmodSync(logDir, 0o711);
      copies.push(logDir);
      const logFiles = readdirSync(dir)
        .sort()
        .map((file) => {
          const name = file.replace('.partial', '');
          const path = join(logDir, name);
          copyFileSync(join(dir, file), path);
          if (name === row.file) truncateSync(path, row.offset);
          return { name, bytes: statSync(path).size };
        });
      return { logDir, logFiles, logEnd: { lsn: row.lsn, timeline: row.timeline } };
    },
  };
}

/** A copy of a stored log that a test may damage. */
export function copyLog(log: StoredLog): string {
  const to = `${log.logDir}-${count++}`;
  mkdirSync(to, { mode: 0o711 });
  for (const { name } of log.logFiles) copyFileSync(join(log.logDir, name), join(to, name));
  return to;
}
