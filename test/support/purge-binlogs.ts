import { readdirSync } from 'node:fs';
import type { TestEngine } from './engine-servers.js';
import { until } from './until.js';

/** A server's own binary logs, in order. */
export const binlogsOf = (server: TestEngine): string[] =>
  readdirSync(server.engineDataDir)
    .filter((name) => /^binlog\.\d+$/.test(name))
    .sort();

/** Removes all log files but the newest, which is answered. The server spares a file that a thread of a lost receiver still reads. */
export async function purgeBinlogs(server: TestEngine): Promise<string> {
  if (server.product === 'mariadb') await server.query('SET GLOBAL slave_connections_needed_for_purge = 0');
  const newest = binlogsOf(server).at(-1) ?? '';
  await until(
    async () => {
      await server.query(`PURGE BINARY LOGS TO '${newest}'`);
      return binlogsOf(server)[0] === newest;
    },
    'the old files to be removed',
    60_000,
  );
  return newest;
}
