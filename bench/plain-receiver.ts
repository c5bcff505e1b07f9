/** The engine's own receiver of the log, which writes plain files. */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { engineBinDir, engineRoot } from '../src/platform/installed.js';
import type { Core } from './chain-launch.js';
import type { LoadedSource } from './load.js';
import { readEnd } from './load-tables.js';

export type PlainReceiver = {
  /** Waits until it has begun its first file; Date.now() before it was started. */
  receiving(): Promise<number>;
  /** Null while it runs. */
  exitCode(): number | null;
  stop(): Promise<void>;
};

/** `dir`: a new folder for the files. Binary logs are received from the beginning of the present one. */
export function startReceiver({ server, site }: LoadedSource, dir: string, core: Core): PlainReceiver {
  const { engine } = site.connection;
  const root = engineRoot(server.product, process.env);
  if (root === null) throw new Error(`${server.product} is not installed`);
  const bin = engineBinDir(server.product, root);
  mkdirSync(dir);
  const start = async () => {
    const words = [...(core === null ? [] : ['taskset', '-c', String(core)])];
    if (engine === 'postgresql') words.push(join(bin, 'pg_receivewal'), `--directory=${dir}`, '--no-password');
    else {
      const options = `${dir}.cnf`;
      const lines = ['[client]', 'host=127.0.0.1', `port=${server.port}`, `user=${server.adminUser}`];
      writeFileSync(options, `${[...lines, `password=${server.adminPassword}`].join('\n')}\n`, { mode: 0o600 });
      const isMysql = engine === 'mysql';
      words.push(
        join(bin, isMysql ? 'mysqlbinlog' : 'mariadb-binlog'),
        `--defaults-file=${options}`,
        ...['--read-from-remote-server', '--raw', '--stop-never'],
        `${isMysql ? '--connection-server-id' : '--stop-never-slave-server-id'}=4711`,
        `--result-file=${dir}/`,
        (await readEnd(site.connection)).file,
      );
    }
    const begun = Date.now();
    const [command = '', ...args] = words;
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...{ PATH: process.env.PATH, PGHOST: server.host, PGPORT: String(server.port) },
        ...{ PGUSER: server.adminUser, PGPASSWORD: server.adminPassword },
      },
    });
    return { child, begun };
  };
  const started = start();
  let exit: number | null = null;
  void started.then(({ child }) => child.once('close', (code) => (exit = code ?? 1)));
  return {
    receiving: async () => {
      const { begun } = await started;
      while (readdirSync(dir).length === 0) {
        if (exit !== null) throw new Error('the receiver ended before its first file');
        await sleep(5);
      }
      return begun;
    },
    exitCode: () => exit,
    stop: async () => {
      const { child } = await started;
      const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
      if (exit !== null) return;
      // pg_receivewal ends in order with SIGINT.
      child.kill('SIGINT');
      await ended;
    },
  };
}
