import type { LogPosition } from '../../domain/positions.js';
import type { Brand } from '../mysql-family/brand.js';
import { serverErrorNumber } from '../mysql-family/failures.js';
import type { Session } from '../mysql-family/session.js';

/** MariaDB tells every session the place of its own snapshot in the binary log; no privilege is needed. */
async function snapshotPlace(session: Session): Promise<{ file: string; filePosition: string } | null> {
  const rows = await session.rows("SHOW STATUS LIKE 'binlog_snapshot_%'");
  const find = (name: string) => rows.find((row) => row.Variable_name?.toLowerCase() === name)?.Value ?? '';
  const file = find('binlog_snapshot_file');
  return file === '' ? null : { file, filePosition: find('binlog_snapshot_position') };
}

/** Hex of `server_uid` (10.11.9 and later, else null), without which any two servers of default settings are one. See isSameServer. */
async function uniqueId(session: Session): Promise<string | null> {
  try {
    const text = Object.values((await session.raw('SELECT @@global.server_uid AS value'))[0] ?? {})[0];
    return text ? Buffer.from(text, 'base64').toString('hex') : null;
  } catch (error) {
    // 1193: an earlier release.
    if (serverErrorNumber(error) === 1193) return null;
    throw error;
  }
}

export const mariadbBrand: Brand = {
  kind: 'mariadb',
  title: 'MariaDB',
  dumpProgram: 'mariadb-dump',
  clientProgram: 'mariadb',
  logProgram: 'mariadb-binlog',
  logServerIdOption: '--stop-never-slave-server-id',
  majorOf: (version) => {
    const match = /(\d+)\.(\d+)\.\d+-MariaDB/i.exec(version);
    return match ? `${match[1]}.${match[2]}` : null;
  },
  identity: async (session) => {
    // Only the domain of its own: any session may begin another one, and the server stays the same.
    const [row] = await session.rows('SELECT @@global.server_id AS server, @@global.gtid_domain_id AS own');
    const unique = await uniqueId(session);
    return `mariadb:${row?.server}:${row?.own ?? '0'}${unique === null ? '' : `:${unique}`}`;
  },
  position: async (session): Promise<LogPosition> => {
    const [row] = await session.rows(
      'SELECT @@global.gtid_binlog_pos AS logged, @@global.gtid_slave_pos AS applied, @@global.log_bin AS log_bin',
    );
    const gtidSet = row?.logged || row?.applied || '';
    const place = row?.log_bin === '1' ? await snapshotPlace(session) : null;
    return { ...(gtidSet === '' ? {} : { gtidSet }), ...(place ?? {}) };
  },
  commitMark: async (session) => {
    const [row] = await session.rows('SELECT @@global.log_bin AS log_bin, @@global.gtid_binlog_pos AS position');
    return row?.log_bin === '1' ? (row.position ?? '') : null;
  },
  dumpFlags: ({ versionedTables }) => (versionedTables ? ['--dump-history'] : []),
  // `--sandbox` refuses every command of the client that reaches files or programs of this machine.
  clientFlags: ['--sandbox', '--skip-reconnect', '--local-infile=0', '--skip-progress-reports'],
  hasSequences: true,
  hasPackages: true,
  lock: 'global',
  isReplica: async (session) => {
    try {
      return (await session.raw('SHOW ALL SLAVES STATUS')).length > 0;
    } catch (error) {
      if (serverErrorNumber(error) !== null) return null;
      throw error;
    }
  },
};
