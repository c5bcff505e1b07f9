/** What the tests of PostgreSQL's log archive share: a source with a role of few rights, folders per archive, and comparing bytes. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';
import { compareLogPositions } from '../../src/domain/compare-positions.js';
import type { DatabaseConnection } from '../../src/engines/engine.js';
import { openFollower } from '../../src/engines/postgres/archive/open-follower.js';
import { readLogEnd } from '../../src/engines/postgres/archive/read-log-end.js';
import type { EngineProduct } from '../../src/platform/installed.js';
import type { ArchivePlaces } from '../support/archive-places.js';
import { useArchivePlaces } from '../support/archive-places.js';
import type { FolderArchive } from '../support/archive-to-folder.js';
import { archiveToFolder } from '../support/archive-to-folder.js';
import { usePrivateEngine } from '../support/engine-servers.js';
import { useContext } from './contract.js';

export const archiveEngine = { openFollower, readLogEnd, comparePositions: compareLogPositions };
const ROLE = 'archiver';
const PASSWORD = "o'r \\ wal";

export type Server = ReturnType<typeof usePrivateEngine>;

/** A source with a role that has REPLICATION and nothing else, a table to write to, and folders of its own per archive. */
export function useSource(product: EngineProduct, settings: Readonly<Record<string, string>> = {}) {
  const server = usePrivateEngine(product, { settings: { fsync: 'off', ...settings } });
  const context = useContext();
  const newArchive = useArchivePlaces();
  beforeAll(async () => {
    await server.query(
      `CREATE ROLE ${ROLE} LOGIN REPLICATION PASSWORD E'${PASSWORD.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`,
    );
    await server.query('CREATE TABLE written (id bigint, filling text)');
  });
  const connection = (port = server.port): DatabaseConnection => ({
    engine: 'postgresql',
    host: '127.0.0.1',
    port,
    username: ROLE,
    password: PASSWORD,
    database: 'postgres',
    tls: null,
  });
  return {
    server,
    context,
    connection,
    /** Follows into the archive's folder from where it ends; `port` names another server than the source. */
    follow: (
      archive: ArchivePlaces,
      more: { acknowledge?: boolean; spoolLimitBytes?: number; port?: number } = {},
    ): Promise<FolderArchive> =>
      archiveToFolder({
        engine: archiveEngine,
        connection: connection(more.port),
        context: context(),
        ...archive,
        ...more,
      }),
    newArchive,
    fill: (rows: number) =>
      server.query(`INSERT INTO written SELECT i, repeat('x', 200) FROM generate_series(1, ${rows}) i`),
    /** Ends the server's side of every receiver; how many there were. */
    cutReceivers: async () => {
      const cut = await server.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'",
      );
      return cut.length;
    },
    slotLsn: async (slot: string) => {
      const [row] = await server.query<{ lsn: string | null }>(
        `SELECT restart_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`,
      );
      return row?.lsn ?? null;
    },
  };
}

/** The stored files against the server's own, byte for byte. Whole files only if the server still has them. */
export function compareWithServer(
  server: Server,
  dir: string,
  files: readonly { name: string; bytes: number }[],
): number {
  let compared = 0;
  const walDir = join(server.engineDataDir, 'pg_wal');
  for (const { name, bytes } of files) {
    if (!readdirSync(walDir).includes(name)) continue;
    const own = readFileSync(join(walDir, name)).subarray(0, bytes);
    expect(
      createHash('sha256')
        .update(readFileSync(join(dir, name)))
        .digest('hex'),
      name,
    ).toBe(createHash('sha256').update(own).digest('hex'));
    compared += 1;
  }
  return compared;
}
