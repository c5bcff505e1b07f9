/** What the tests of the binary log's archive share: a source with a role of few rights, folders per archive. */
import { beforeAll } from 'vitest';
import { getChainEngine } from '../../src/engines/chain-registry.js';
import type { DatabaseConnection } from '../../src/engines/engine.js';
import type { ArchivePlaces } from '../support/archive-places.js';
import { findReceivers, useArchivePlaces } from '../support/archive-places.js';
import type { FolderArchive } from '../support/archive-to-folder.js';
import { archiveToFolder } from '../support/archive-to-folder.js';
import { usePrivateEngine } from '../support/engine-servers.js';
import { binlogsOf, purgeBinlogs } from '../support/purge-binlogs.js';
import { useContext } from './contract-support.js';
import type { FamilyProduct } from './mysql-family-chain-support.js';
import { brandOf } from './mysql-family-chain-support.js';

const ROLE = 'archiver';
const PASSWORD = 'Bin"log \\ #1';

/** Process ids of the receivers that this process started into one spool. */
export const receivers = (spoolDir: string) =>
  findReceivers(/(?:mysqlbinlog|mariadb-binlog)$/, `--result-file=${spoolDir}/`);

/** A source with a role that may do what an archive needs and nothing else, a table to write to, and folders of its own per archive. */
export function useSource(product: FamilyProduct) {
  const server = usePrivateEngine(product);
  const context = useContext();
  const newArchive = useArchivePlaces();
  const engine = getChainEngine(brandOf(product));
  const rights = product === 'mysql' ? 'REPLICATION SLAVE, REPLICATION CLIENT' : 'REPLICATION SLAVE, BINLOG MONITOR';
  beforeAll(async () => {
    await server.query(
      `CREATE USER ${ROLE}@'%' IDENTIFIED BY '${PASSWORD.replaceAll('\\', '\\\\')}'; GRANT ${rights} ON *.* TO ${ROLE}@'%';
       CREATE DATABASE shop; CREATE TABLE shop.written (id bigint AUTO_INCREMENT PRIMARY KEY, n int, filling longblob)`,
    );
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
    newArchive,
    /** One transaction each. */
    fill: async (commits: number, bytes = 1_000) => {
      const insert = `INSERT INTO shop.written (n, filling) VALUES (1, REPEAT('x', ${bytes}))`;
      for (let left = commits; left > 0; left -= 100)
        await server.query(Array.from({ length: Math.min(left, 100) }, () => insert).join('; '));
    },
    rotate: () => server.query('FLUSH BINARY LOGS'),
    newestFile: (): string => binlogsOf(server).at(-1) ?? '',
    purge: (): Promise<string> => purgeBinlogs(server),
  };
}
