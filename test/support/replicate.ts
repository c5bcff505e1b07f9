/** Makes one private MySQL or MariaDB server the replica of another, as an administrator does. */
import type { TestEngine } from './engine-servers.js';
import { until } from './until.js';

const PASSWORD = 'Re-plica7';

type Status = Record<string, string | number | null>;

const isMysql = (server: TestEngine) => server.engine === 'mysql';

export async function replicate(primary: TestEngine, replica: TestEngine): Promise<void> {
  await primary.query(
    `CREATE USER IF NOT EXISTS replicator@'%' IDENTIFIED BY '${PASSWORD}'; GRANT REPLICATION SLAVE ON *.* TO replicator@'%'`,
  );
  const { host, port } = primary;
  await replica.query(
    isMysql(primary)
      ? `CHANGE REPLICATION SOURCE TO SOURCE_HOST = '${host}', SOURCE_PORT = ${port}, SOURCE_USER = 'replicator', SOURCE_PASSWORD = '${PASSWORD}',
         SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = 1; START REPLICA`
      : `CHANGE MASTER TO master_host = '${host}', master_port = ${port}, master_user = 'replicator', master_password = '${PASSWORD}',
         master_use_gtid = slave_pos, master_connect_retry = 1${primary.product === 'mariadb' ? ', master_ssl_verify_server_cert = 0' : ''}; START SLAVE`,
  );
  await caughtUp(primary, replica);
}

/** Waits until the replica has applied everything that the primary has now. */
export async function caughtUp(primary: TestEngine, replica: TestEngine): Promise<void> {
  const mysql = isMysql(primary);
  const [row] = await primary.query<{ gtids: string }>(
    `SELECT ${mysql ? '@@global.gtid_executed' : '@@global.gtid_binlog_pos'} AS gtids`,
  );
  const gtids = (row?.gtids ?? '').replaceAll('\n', '');
  await until(
    async () => {
      const [found] = await replica.query<{ there: number }>(
        mysql
          ? `SELECT GTID_SUBSET('${gtids}', @@global.gtid_executed) AS there`
          : `SELECT MASTER_GTID_WAIT('${gtids}', 1) = 0 AS there`,
      );
      return Number(found?.there) === 1;
    },
    `the replica to reach ${gtids}`,
    60_000,
  );
}

/** Makes a replica a server of its own, as an administrator does after its primary has died. */
export const promote = (replica: TestEngine): Promise<unknown> =>
  replica.query(isMysql(replica) ? 'STOP REPLICA; RESET REPLICA ALL' : 'STOP SLAVE; RESET SLAVE ALL');

/** What the replica says of itself, for messages. */
export const replicaStatus = (replica: TestEngine): Promise<Status[]> =>
  replica.query<Status>(isMysql(replica) ? 'SHOW REPLICA STATUS' : 'SHOW ALL SLAVES STATUS');
