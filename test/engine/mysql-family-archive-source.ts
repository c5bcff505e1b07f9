/** What the tests of the binary log's archive share: a source with a role of few rights, folders per archive, and comparing bytes. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { DatabaseConnection } from '../../src/engines/engine.js';
import { clearInUseFlag } from '../../src/engines/mysql-family/binlog/in-use-flag.js';
import type { FolderArchive } from '../support/archive-to-folder.js';
import { archiveToFolder } from '../support/archive-to-folder.js';
import type { TestEngine } from '../support/engine-servers.js';
import { uniqueName, usePrivateEngine } from '../support/engine-servers.js';
import { until } from '../support/until.js';
import { useContext } from './contract-support.js';
import type { FamilyProduct } from './mysql-family-chain-support.js';
import { brandOf } from './mysql-family-chain-support.js';

const ROLE = 'archiver';
const PASSWORD = 'Bin"log \\ #1';

export type ArchivePlaces = { readonly slot: string; readonly dir: string; readonly spoolDir: string };

/** Process ids of the receivers that this process started into one spool. */
export function receivers(spoolDir: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const args = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      const isReceiver = /(?:mysqlbinlog|mariadb-binlog)$/.test(args[0] ?? '');
      return isReceiver && args.some((arg) => arg.startsWith(`--result-file=${spoolDir}/`)) ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}

/** A source with a role that may do what an archive needs and nothing else, a table to write to, and folders of its own per archive. */
export function useSource(product: FamilyProduct) {
  const server = usePrivateEngine(product);
  const context = useContext();
  const folders: string[] = [];
  const engine = getChainEngine(brandOf(product));
  const rights = product === 'mysql' ? 'REPLICATION SLAVE, REPLICATION CLIENT' : 'REPLICATION SLAVE, BINLOG MONITOR';
  beforeAll(async () => {
    await server.query(
      `CREATE USER ${ROLE}@'%' IDENTIFIED BY '${PASSWORD.replaceAll('\\', '\\\\')}'; GRANT ${rights} ON *.* TO ${ROLE}@'%';
       CREATE DATABASE shop; CREATE TABLE shop.written (id bigint AUTO_INCREMENT PRIMARY KEY, n int, filling longblob)`,
    );
  });
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  const connection = (): DatabaseConnection => ({
    engine: server.engine,
    host: '127.0.0.1',
    port: server.port,
    username: ROLE,
    password: PASSWORD,
    database: 'shop',
    tls: null,
  });
  const files = () =>
    readdirSync(server.engineDataDir)
      .filter((name) => /^binlog\.\d+$/.test(name))
      .sort();
  return {
    server,
    context,
    connection,
    engine,
    /** Follows into the archive's folder from where it ends. */
    follow: (
      archive: ArchivePlaces,
      more: { acknowledge?: boolean; spoolLimitBytes?: number } = {},
    ): Promise<FolderArchive> =>
      archiveToFolder({ engine, connection: connection(), context: context(), ...archive, ...more }),
    newArchive: (): ArchivePlaces => {
      const base = mkdtempSync(join(tmpdir(), 'tm-binlog-'));
      folders.push(base);
      return { slot: uniqueName('tidemark'), dir: join(base, 'store'), spoolDir: join(base, 'spool') };
    },
    /** One transaction each. */
    fill: async (commits: number, bytes = 1_000) => {
      const insert = `INSERT INTO shop.written (n, filling) VALUES (1, REPEAT('x', ${bytes}))`;
      for (let left = commits; left > 0; left -= 100)
        await server.query(Array.from({ length: Math.min(left, 100) }, () => insert).join('; '));
    },
    rotate: () => server.query('FLUSH BINARY LOGS'),
    newestFile: (): string => files().at(-1) ?? '',
    /** Removes all log files but the newest, which is answered. The server spares a file that a thread of a lost receiver still reads. */
    purge: async (): Promise<string> => {
      if (product === 'mariadb') await server.query('SET GLOBAL slave_connections_needed_for_purge = 0');
      const newest = files().at(-1) ?? '';
      await until(async () => {
        await server.query(`PURGE BINARY LOGS TO '${newest}'`);
        return files()[0] === newest;
      }, 'the old files to be removed');
      return newest;
    },
  };
}

/** The stored files against the server's own, byte for byte but for the flag of the active file; how many the server still has. */
export function compareWithServer(server: TestEngine, dir: string, files: readonly { name: string; bytes: number }[]) {
  let compared = 0;
  const there = readdirSync(server.engineDataDir);
  for (const { name, bytes } of files) {
    if (!there.includes(name)) continue;
    const own = readFileSync(join(server.engineDataDir, name));
    clearInUseFlag(own, 0);
    const mine = readFileSync(join(dir, name));
    expect(mine.length, name).toBe(bytes);
    // Only the newest file may have gone on since.
    if (name !== files.at(-1)?.name) expect(mine.length, name).toBe(own.length);
    expect(mine.equals(own.subarray(0, bytes)), name).toBe(true);
    compared += 1;
  }
  return compared;
}

/** Every chunk begins where the one before it ended. */
export function expectUnbroken(chunks: readonly { start: unknown; end: unknown }[]): void {
  for (let i = 1; i < chunks.length; i += 1) expect(chunks[i]?.start).toEqual(chunks[i - 1]?.end);
}
