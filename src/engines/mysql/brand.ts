import type { LogPosition } from '../../domain/positions.js';
import type { Brand } from '../mysql-family/brand.js';
import { serverErrorNumber } from '../mysql-family/failures.js';
import type { Row, Session } from '../mysql-family/session.js';

/** Null when the role may not read it (REPLICATION CLIENT): file and offset are only kept for people. */
async function binaryLogStatus(session: Session): Promise<Row | null> {
  // 8.4 and later; 8.0 calls it SHOW MASTER STATUS.
  for (const sql of ['SHOW BINARY LOG STATUS', 'SHOW MASTER STATUS']) {
    try {
      return (await session.raw(sql))[0] ?? null;
    } catch (error) {
      if (serverErrorNumber(error) === null) throw error;
    }
  }
  return null;
}

export const mysqlBrand: Brand = {
  kind: 'mysql',
  title: 'MySQL',
  dumpProgram: 'mysqldump',
  clientProgram: 'mysql',
  logProgram: 'mysqlbinlog',
  logServerIdOption: '--connection-server-id',
  majorOf: (version) => (/mariadb/i.test(version) ? null : (/^(\d+\.\d+)\./.exec(version)?.[1] ?? null)),
  identity: async (session) => `mysql:${await session.value('SELECT @@global.server_uuid')}`,
  position: async (session): Promise<LogPosition> => {
    const gtidSet = ((await session.value('SELECT @@global.gtid_executed')) ?? '').replaceAll('\n', '');
    const status = await binaryLogStatus(session);
    return {
      ...(gtidSet === '' ? {} : { gtidSet }),
      ...(status?.File ? { file: status.File, filePosition: status.Position ?? '' } : {}),
    };
  },
  commitMark: async (session) => {
    const mode = await session.value('SELECT @@global.gtid_mode');
    if (mode === 'ON') return session.value('SELECT @@global.gtid_executed');
    const status = await binaryLogStatus(session);
    return status ? `${status.File}:${status.Position}` : null;
  },
  // A partial dump would carry the GTIDs of the whole server; masking policies need SELECT on the server's own tables.
  dumpFlags: () => ['--set-gtid-purged=OFF', '--skip-masking-policies', '--column-statistics=0', '--network-timeout'],
  clientFlags: ['--skip-system-command', '--skip-reconnect', '--local-infile=0'],
  hasSequences: false,
  hasPackages: false,
  lock: 'tables',
  isReplica: async (session) => {
    try {
      return (await session.raw('SHOW REPLICA STATUS')).length > 0;
    } catch (error) {
      if (serverErrorNumber(error) !== null) return null;
      throw error;
    }
  },
};
